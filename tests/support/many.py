#!/usr/bin/env python3
"""Makes directories that are hard for their size: many.py WHAT DIRECTORY [COUNT]

    entries   COUNT empty files in one directory
    links     COUNT names in 100 directories, ten for each file
"""
import os
import sys


def entries(top, count):
    for number in range(count):
        os.close(os.open(f"{top}/{number:07}", os.O_CREAT | os.O_WRONLY, 0o644))


def links(top, count):
    for directory in range(100):
        os.mkdir(f"{top}/{directory:02}")
    for number in range(count // 10):
        first = f"{top}/{number % 100:02}/{number:07}-0"
        with open(first, "w", encoding="ascii") as file:
            file.write(f"{number}\n")
        for name in range(1, 10):
            os.link(first, f"{top}/{(number + name) % 100:02}/{number:07}-{name}")


if __name__ == "__main__":
    what, top = sys.argv[1:3]
    os.makedirs(top)
    {"entries": entries, "links": links}[what](top, int((sys.argv[3:] or ["1000000"])[0]))
