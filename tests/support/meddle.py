"""Does something to a file at the very moment at which another process opens or reads a file.

    meddle.py WATCHED MOMENT ACTION [VICTIM]

Prints `ready`, and from then on every process that opens WATCHED (MOMENT is `open`) or reads from
it past a byte (MOMENT is its offset) waits in the kernel until ACTION is done to VICTIM, which is
WATCHED itself when it is not named. Ends when its standard input does. It needs root, and a kernel
and file system with fanotify's permission events (for reads: Linux 6.14); else it says `cannot` and
why.

Actions: `vanish`, `fifo`, `link`, `directory`, `socket`, `another` take the place of the file;
`cut:N` and `grow:N` set its length; `touch` writes its first byte anew; all of these once.
`always-grow` adds a byte each time. `deny` (open) and `fail` (read, with EIO) answer every time.
"""

import ctypes
import errno
import os
import select
import socket
import struct
import sys

CLASS_PRE_CONTENT, CLOSE_ON_EXEC = 0x08, 0x01
MARK_ADD, MARK_FLUSH = 0x01, 0x80
OPEN_PERM, PRE_ACCESS = 0x10000, 0x100000
ALLOW, DENY = 0x01, 0x02
EVENT = struct.Struct("=IBBHQii")
INFO_RANGE, RANGE = 6, struct.Struct("=BBHIQQ")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def mark(fan, flags, mask, path):
    checked(libc.fanotify_mark(fan, flags, ctypes.c_uint64(mask), -100, path))


def put_aside(path, make):
    os.unlink(path)
    make(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def make_another(path):
    with open(path + b".new", "wb") as new:
        new.write(b"another file")
    os.rename(path + b".new", path)


def touch(path):
    with open(path, "r+b") as opened:
        opened.write(b"\xff")


def act(action, path):
    """Does it, and returns the answer to who waits."""
    word, _, number = action.partition(":")
    if word == "vanish":
        os.unlink(path)
    elif word == "fifo":
        put_aside(path, os.mkfifo)
    elif word == "link":
        put_aside(path, lambda p: os.symlink(b"/etc/passwd", p))
    elif word == "directory":
        put_aside(path, os.mkdir)
    elif word == "socket":
        put_aside(path, make_socket)
    elif word == "another":
        make_another(path)
    elif word in ("cut", "grow"):
        os.truncate(path, int(number))
    elif word == "touch":
        touch(path)
    elif word == "always-grow":
        os.truncate(path, os.stat(path).st_size + 1)
    elif word == "deny":
        return DENY
    elif word == "fail":
        return DENY | errno.EIO << 24
    else:
        raise ValueError(action)
    return ALLOW


def is_awaited(event, from_offset):
    """Whether an event is an open, or a read that goes past the offset."""
    at = EVENT.size
    while at + RANGE.size <= len(event):
        kind, _, length, _, offset, count = RANGE.unpack_from(event, at)
        if kind == INFO_RANGE:
            return offset + count > from_offset
        at += max(length, 1)
    return True


def main():
    watched, moment, action = os.fsencode(sys.argv[1]), sys.argv[2], sys.argv[3]
    victim = os.fsencode(sys.argv[4]) if len(sys.argv) > 4 else watched
    mask = OPEN_PERM if moment == "open" else PRE_ACCESS
    from_offset = 0 if moment == "open" else int(moment)
    is_lasting = action in ("always-grow", "deny", "fail")
    try:
        fan = checked(libc.fanotify_init(CLASS_PRE_CONTENT | CLOSE_ON_EXEC, os.O_RDONLY))
        mark(fan, MARK_ADD, mask, watched)
    except OSError as error:
        print(f"cannot watch {sys.argv[1]}: {error.strerror}", flush=True)
        return
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([fan, sys.stdin], [], [])
        if fan not in ready:
            return
        events = os.read(fan, 4096)
        while events:
            length, _, _, _, _, fd, _ = EVENT.unpack_from(events)
            answer = ALLOW
            if is_awaited(events[:length], from_offset):
                # What is done here would wait for itself.
                mark(fan, MARK_FLUSH, 0, None)
                answer = act(action, victim)
                if is_lasting:
                    mark(fan, MARK_ADD, mask, watched)
            os.write(fan, struct.pack("=iI", fd, answer))
            os.close(fd)
            events = events[length:]


main()
