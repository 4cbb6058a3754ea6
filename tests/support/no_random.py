"""Runs a program that gets no random numbers from the kernel.

    no_random.py PROGRAM [ARGUMENT...]

Whoever asks for those that secrets are made of is told EIO; what hash tables are seeded with
(GRND_INSECURE) still comes, or the program would end before it has begun. Says `cannot` and why, and
exits with 99, where this system does not allow it.
"""

import ctypes
import errno
import os
import struct
import sys

SYSCALLS = {"x86_64": (0xC000003E, 318), "aarch64": (0xC00000B7, 278)}
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EIO
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, ARCHITECTURE, FLAGS = 0, 4, 32


def refuse():
    """Has the kernel refuse, for this process and its children."""
    architecture, number = SYSCALLS[os.uname().machine]
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, number),
        (LOAD, 0, 0, FLAGS),
        (EQUAL, 0, 1, 0),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in [(NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, FILTER, fprog, 0, 0)]:
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def main():
    try:
        refuse()
        os.getrandom(8)
    except KeyError:
        print("cannot: this processor is not known", flush=True)
    except OSError as error:
        if error.errno == errno.EIO:
            os.execv(sys.argv[1], sys.argv[1:])
        print(f"cannot: {error.strerror}", flush=True)
    else:
        print("cannot: random numbers come without a call", flush=True)
    sys.exit(99)


main()
