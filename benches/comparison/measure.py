"""Runs a command and takes its wall time, CPU time and peak memory."""

import os
import subprocess
import time

PIECE_LEN = 1 << 20


def run(command, env, cwd, log, settles=False):
    """Runs `command` to its end, its output in the file `log`; returns figures and the exit code.

    Where it `settles`, the end is when everything that was written is on the disk. CPU seconds and peak memory are those of the command with all it started and waited for; the
    peak is that of the largest single process. Nothing of earlier steps is still being written.
    """
    os.sync()
    with open(log, "wb") as output:
        begin = time.monotonic()
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        if settles:
            os.sync()
        wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "wall": round(wall, 4),
        "cpu": round(usage.ru_utime + usage.ru_stime, 4),
        "memory_bytes": usage.ru_maxrss * 1024,
        "exit": process.returncode,
        "load": round(os.getloadavg()[0], 2),
    }


def files(top):
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def warm(top):
    """Reads every file below `top`, so that it is in the page cache."""
    buffer = bytearray(PIECE_LEN)
    for path in files(top):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def stored_bytes(top):
    """The lengths of all files below `top`."""
    return sum(map(os.path.getsize, files(top)))


def tail(log, length=600):
    with open(log, "rb") as file:
        return file.read()[-length:].decode(errors="replace").strip()
