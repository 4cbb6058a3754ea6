"""Makes a tree of all that is hard to back up.

    torture.py DIR            makes DIR with everything that this user may make here
    torture.py --deeper DIR   adds one directory below the deepest one

Prints one line `cannot <what>: <why>` for each thing that this user or file system does not allow.
Below `closed/` lies what a plain user may not read back; all else is for everybody. Directories go
down to 1,024 below the root of the file system, which is as deep as a backup goes. Content comes
from a seed: every run makes the same tree.
"""

import contextlib
import os
import random
import socket
import stat
import struct
import sys

DEPTH_MAX = 1024
PAGE, HOLE = 4096, 65536
SMALL = 1 << 20

noise = random.Random(20_261_125)
is_root = os.geteuid() == 0


@contextlib.contextmanager
def may_fail(what):
    try:
        yield
    except OSError as error:
        print(f"cannot {what}: {error.strerror}")


def write(path, content=b"x"):
    with open(path, "wb") as made:
        made.write(content)


@contextlib.contextmanager
def directory(name):
    """Makes a directory and works in it, so that no path is long."""
    os.mkdir(name)
    before = os.open(".", os.O_RDONLY)
    os.chdir(name)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def names():
    odd = [
        b"new\nline", b"\x1b[31mred", b"\xff\xfe", b"\xc3\x28", b"n" * 255, "ü".encode() * 127,
        b"-rf", b"--", b" ", b"  two", b"tab\t", b"*?[x]", b"\\", b"...", b". ", b"~", b"$HOME",
        b"'", b'"', b"a:b", b"CON", "e\u0301".encode(), "\u00e9".encode(), "\u202etxt".encode(),
    ]
    bytewise = [b"byte " + bytes([value]) for value in range(1, 256) if value != ord("/")]
    for name in odd + bytewise:
        write(name, name)
    os.mkdir(b"dir\n\xff")
    os.symlink(b"to\n\xff\x1b", b"link\n\xff")


def sizes():
    edges = [PAGE, HOLE, 4 * HOLE, SMALL]
    around = [edge + step for edge in edges for step in (-1, 0, 1)]
    for size in [0, 1, 2, *around, 3 * SMALL + 17]:
        write(f"noise-{size}", noise.randbytes(size))
        write(f"zeros-{size}", bytes(size))
    write("text", b"the same line again\n" * 20_000)
    write("pages", b"SQLite format 3\0" + noise.randbytes(40 * PAGE))


def holes():
    offsets = [edge + step for edge in (PAGE, HOLE, 2 * HOLE) for step in (-1, 0, 1)]
    lengths = [1, PAGE, HOLE - PAGE, HOLE - 1, HOLE, HOLE + 1, HOLE + PAGE, 3 * HOLE]
    for start in [0, 1, *offsets]:
        for length in lengths:
            with open(f"hole-{start}-{length}", "wb") as made:
                made.write(noise.randbytes(start))
                made.seek(length, os.SEEK_CUR)
                made.write(noise.randbytes(PAGE + 1))
            with open(f"data-{start}-{length}", "wb") as made:
                made.seek(start)
                made.write(noise.randbytes(length))
                made.truncate(start + length + 2 * HOLE + 1)
    for size in [1, PAGE - 1, HOLE - 1, HOLE, HOLE + 1, SMALL - 1, SMALL + 1, 1 << 33]:
        with open(f"only-{size}", "wb") as made:
            made.truncate(size)
    with open("comb", "wb") as made:
        for tooth in range(100):
            made.seek(tooth * (HOLE + 2 * PAGE))
            made.write(noise.randbytes(PAGE))


def acl(entries):
    """Version 2, then tag, permissions and id of each entry."""
    nobody = 0xFFFF_FFFF
    lines = [struct.pack("<HHI", tag, bits, nobody if of is None else of) for tag, bits, of in entries]
    return struct.pack("<I", 2) + b"".join(lines)


ACL = acl([(1, 6, None), (2, 4, 1000), (2, 7, 4_000_000), (4, 4, None), (8, 5, 50), (16, 7, None), (32, 4, None)])


def attributes():
    write("plain")
    for name in ("file", "capable"):
        write(name)
    os.mkdir("directory")
    os.mkfifo("fifo")
    os.symlink("file", "link")
    for path in ("file", "directory"):
        with may_fail("set user attributes"):
            os.setxattr(path, "user.empty", b"")
            os.setxattr(path, "user.bytes", bytes(range(256)))
            os.setxattr(path, "user." + "n" * 250, b"long name")
        with may_fail("set an ACL"):
            os.setxattr(path, "system.posix_acl_access", ACL)
    with may_fail("set a default ACL"):
        os.setxattr("directory", "system.posix_acl_default", ACL)
        # What is made below inherits, and so would a careless restore.
        write("directory/heir")
        os.mkdir("directory/heirs")
    for length in (65_536, 3_000):
        write(f"large-{length}")
        with may_fail(f"set an attribute of {length} bytes"):
            os.setxattr(f"large-{length}", "user.large", noise.randbytes(length))
    if not is_root:
        return
    for path in ("file", "directory", "fifo", "link"):
        with may_fail("set trusted attributes"):
            os.setxattr(path, "trusted.torture", path.encode(), follow_symlinks=False)
    with may_fail("set a capability"):
        value = struct.pack("<IIIII", 0x0200_0001, 1 << 10, 0, 0, 0)
        os.setxattr("capable", "security.capability", value)


def modes():
    for mode in (0o400, 0o444, 0o644, 0o755, 0o777, 0o1644, 0o4755, 0o2755, 0o6711, 0o7777, 0o2644):
        write(f"file-{mode:04o}")
        os.chmod(f"file-{mode:04o}", mode)
    for mode in (0o500, 0o555, 0o700, 0o755, 0o1777, 0o2755, 0o3777, 0o7777):
        os.mkdir(f"directory-{mode:04o}")
        write(f"directory-{mode:04o}/in it")
        os.chmod(f"directory-{mode:04o}", mode)


def closed():
    """What its own owner may not read."""
    for mode in (0o000, 0o200, 0o100):
        write(f"file-{mode:04o}")
        os.chmod(f"file-{mode:04o}", mode)
    for mode in (0o000, 0o300, 0o100):
        os.mkdir(f"directory-{mode:04o}")
        write(f"directory-{mode:04o}/in it")
        os.chmod(f"directory-{mode:04o}", mode)
    write("open")


def times():
    seconds = [0, -1, -(2**31), 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33, 1]
    moments = [s * 10**9 + nanos for s in seconds for nanos in (0, 1, 999_999_999)]
    for number, moment in enumerate(moments):
        write(f"file-{number}")
        os.symlink("nowhere", f"link-{number}")
        os.mkfifo(f"fifo-{number}")
        os.mkdir(f"directory-{number}")
        for kind in ("file", "link", "fifo", "directory"):
            path = f"{kind}-{number}"
            with may_fail(f"set the time {moment}"):
                os.utime(path, ns=(moment, moment), follow_symlinks=False)


def special():
    os.mkfifo("fifo", 0o640)
    make_socket("socket")
    os.symlink("t" * 4095, "long link")
    for target in ("..", "/", "/etc/passwd", ".", "../../../../../../../../etc", "link", " "):
        os.symlink(target, "link to " + target.replace("/", "%"))
    os.symlink("link to itself", "link to itself")
    if not is_root:
        return
    for name, kind, major, minor in [
        ("null", stat.S_IFCHR, 1, 3),
        ("loop", stat.S_IFBLK, 7, 0),
        ("large numbers", stat.S_IFBLK, 4000, 1_000_000),
    ]:
        with may_fail("make devices"):
            os.mknod(name, kind | 0o600, os.makedev(major, minor))


def links():
    with directory("near"):
        write("file", b"one file, many names")
        os.link("file", "again")
        write("pair")
        with open("sparse", "wb") as made:
            made.truncate(1 << 20)
        os.symlink("nowhere", "symlink")
        os.mkfifo("fifo")
        make_socket("socket")
        if is_root:
            with may_fail("make devices"):
                os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with directory("far"):
        for name in sorted(os.listdir("../near")):
            with may_fail(f"link {name}"):
                os.link(f"../near/{name}", f"{name} too", follow_symlinks=False)
    # The first name is met after the second one.
    os.link("near/pair", "a first name")
    with directory("many"):
        write("0")
        for number in range(1, 1000):
            os.link("0", f"{number}")


def owners():
    for number, (uid, gid) in enumerate([(1, 1), (12345, 54321), (2**32 - 2, 2**32 - 2), (0, 12345)]):
        write(f"file-{number}")
        os.symlink("nowhere", f"link-{number}")
        os.mkdir(f"directory-{number}")
        os.mkfifo(f"fifo-{number}")
        for kind in ("file", "link", "directory", "fifo"):
            os.chown(f"{kind}-{number}", uid, gid, follow_symlinks=False)
    # A change of owner takes these bits away, so that they come after it.
    for name, mode in [("file-1", 0o6755), ("directory-1", 0o3777)]:
        os.chmod(name, mode)


def crowd():
    for number in range(3000):
        write(f"{noise.randrange(1 << 64):016x}", b"%d" % number)


def end_of(path):
    write("file", b"deep")
    os.symlink("target", "link")
    os.mkfifo("fifo")
    os.link("file", "another name")
    with may_fail("set user attributes"):
        os.setxattr("file", "user.deep", path.encode())


def deep():
    with contextlib.ExitStack() as stack:
        stack.enter_context(directory("long names"))
        for _ in range(30):
            stack.enter_context(directory("d" * 255))
        end_of("long names")
    depth = len([part for part in os.getcwd().split("/") if part])
    with contextlib.ExitStack() as stack:
        for _ in range(DEPTH_MAX - depth):
            stack.enter_context(directory("deep-er"))
        end_of("deep")


def deeper():
    os.chdir("deep")
    with contextlib.suppress(FileNotFoundError):
        while True:
            os.chdir("deep-er")
    os.mkdir("too deep")
    write("too deep/file")


def main():
    os.umask(0o022)
    if sys.argv[1] == "--deeper":
        os.chdir(sys.argv[2])
        deeper()
        return
    parts = [names, sizes, holes, attributes, modes, closed, times, special, links, crowd, deep]
    if is_root:
        parts.append(owners)
    with directory(sys.argv[1]):
        os.mkdir("empty")
        for part in parts:
            with directory(part.__name__):
                part()
        for number, part in enumerate(parts):
            os.utime(part.__name__, ns=(0, (10**9 + number) * 10**9 + number))


main()
