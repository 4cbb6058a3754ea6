"""Compares two directory trees in everything that a restore promises to bring back.

Prints one line for each difference, then `D differences` (exit 1); or nothing but
`N entries, M link groups, K files with holes: equal` (exit 0). What cannot be read is a difference.

Compared are the names in each directory and, for each of them: type, mode, owner, size,
modification time to the nanosecond, link target, device numbers, attributes with their values,
content, holes, and which names are the same file. Never compared: times of access and of change of
status, inode numbers, and the size of anything but a regular file.

It shares no code with the program it checks. Every path it opens is one name below an open
directory (under /proc/self/fd), so that trees deeper than PATH_MAX can be compared.
"""

import argparse
import errno
import os
import resource
import stat
import sys

PIECE_LEN = 1 << 20
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


def shown(path):
    """A path in one line of ASCII, whatever its bytes."""
    return path.decode("utf-8", "surrogateescape").encode("unicode_escape").decode("ascii")


def time_shown(nanos):
    return "%d.%09d" % divmod(nanos, 1_000_000_000)


def xattrs_of(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def data_runs(fd, size):
    """The runs of an open file that hold data, as (start, end)."""
    runs, offset = [], 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        offset = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        runs.append((start, offset))
    return runs


def holes_between(runs, size, grain, least):
    """The holes beside `runs`, their ends moved inwards to multiples of `grain`.

    The end of the file stays where it is. Holes that become shorter than `least` are dropped.
    """
    holes, offset = [], 0
    for start, end in runs + [(size, size)]:
        first = -(-offset // grain) * grain
        last = start if start == size else start // grain * grain
        if last > first and last - first >= least:
            holes.append((first, last))
        offset = end
    return holes


def union(first, second):
    """The runs covered by either of two lists of runs."""
    runs = []
    for start, end in sorted(first + second):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((start, end))
    return runs


class Comparison:
    def __init__(self, options):
        self.options = options
        self.difference_count = 0
        self.entry_count = 0
        self.hole_file_count = 0
        # (device, inode) -> names, for each side; only where there are several names.
        self.links = ({}, {})
        self.compared_links = set()

    def differ(self, path, what):
        self.difference_count += 1
        print(f"{shown(path) or '.'}: {what}")

    def check(self, path, what, a, b, show=str):
        if a != b:
            self.differ(path, f"{what} {show(a)} / {show(b)}")

    def trees(self, a, b):
        """Compares depth first with two descriptors a level, without recursion."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        fds = os.open(a, flags), os.open(b, flags)
        stats = os.fstat(fds[0]), os.fstat(fds[1])
        self.metadata(b"", (b"/proc/self/fd/%d/." % fds[0], b"/proc/self/fd/%d/." % fds[1]), *stats)
        stack = [self.directory(b"", fds)]
        while stack:
            path, fds, children = stack[-1]
            if not children:
                os.close(fds[0])
                os.close(fds[1])
                stack.pop()
                continue
            name = children.pop()
            below = path + b"/" + name if path else name
            try:
                inner = tuple(os.open(name, flags | os.O_NOFOLLOW, dir_fd=fd) for fd in fds)
                stack.append(self.directory(below, inner))
            except OSError as error:
                self.differ(below, f"cannot be read: {error.strerror}")
        self.link_groups()

    def directory(self, path, fds):
        """Compares what two directories hold; returns the directories in both, to be entered."""
        bases = [b"/proc/self/fd/%d/" % fd for fd in fds]
        # The bytes of names come from bytes paths only.
        names = [set(os.listdir(base)) for base in bases]
        prefix = path + b"/" if path else b""
        for side, extra in enumerate((names[0] - names[1], names[1] - names[0])):
            for name in sorted(extra):
                self.differ(prefix + name, f"only in {'AB'[side]}")
        children = []
        for name in sorted(names[0] & names[1], reverse=True):
            try:
                if self.entry(prefix + name, bases[0] + name, bases[1] + name):
                    children.append(name)
            except OSError as error:
                self.differ(prefix + name, f"cannot be read: {error.strerror}")
        return path, fds, children

    def entry(self, path, a, b):
        """Compares two entries; returns whether both are directories."""
        self.entry_count += 1
        stat_a, stat_b = os.lstat(a), os.lstat(b)
        kind = stat.S_IFMT(stat_a.st_mode)
        if kind != stat.S_IFMT(stat_b.st_mode):
            kinds = kind, stat.S_IFMT(stat_b.st_mode)
            self.check(path, "type", *kinds, show=lambda k: KINDS.get(k, hex(k)))
            return False
        self.metadata(path, (a, b), stat_a, stat_b)
        if kind == stat.S_IFDIR:
            return True
        several = False
        for links, s in zip(self.links, (stat_a, stat_b)):
            if s.st_nlink > 1:
                links.setdefault((s.st_dev, s.st_ino), []).append(path)
                several = True
        if kind == stat.S_IFLNK:
            self.check(path, "link target", os.readlink(a), os.readlink(b), shown)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            numbers = [(os.major(s.st_rdev), os.minor(s.st_rdev)) for s in (stat_a, stat_b)]
            self.check(path, "device", *numbers)
        elif kind == stat.S_IFREG:
            self.check(path, "size", stat_a.st_size, stat_b.st_size)
            if several:
                pair = stat_a.st_dev, stat_a.st_ino, stat_b.st_dev, stat_b.st_ino
                if pair in self.compared_links:
                    return False
                self.compared_links.add(pair)
            if stat_a.st_size == stat_b.st_size > 0:
                self.content(path, a, b, stat_a.st_size)
        return False

    def metadata(self, path, paths, a, b):
        options = self.options
        self.check(path, "mode", a.st_mode & 0o7777, b.st_mode & 0o7777, "{:04o}".format)
        if not options.no_owner:
            self.check(path, "owner", (a.st_uid, a.st_gid), (b.st_uid, b.st_gid))
        if path or not options.no_times_on_root:
            self.check(path, "mtime", a.st_mtime_ns, b.st_mtime_ns, time_shown)
        xattrs = xattrs_of(paths[0]), xattrs_of(paths[1])
        if xattrs[0] != xattrs[1]:
            for name in sorted(xattrs[0].keys() | xattrs[1].keys()):
                self.check(path, f"attribute {name!a}", *(x.get(name) for x in xattrs))

    def content(self, path, a, b, size):
        fd_a = os.open(a, OPEN_FLAGS)
        try:
            fd_b = os.open(b, OPEN_FLAGS)
            try:
                self.open_content(path, fd_a, fd_b, size)
            finally:
                os.close(fd_b)
        finally:
            os.close(fd_a)

    def open_content(self, path, a, b, size):
        runs = data_runs(a, size), data_runs(b, size)
        limits = size, self.options.hole_grain, self.options.hole_min
        holes = [holes_between(side, *limits) for side in runs]
        self.hole_file_count += bool(holes[0])
        self.check(path, "holes", *holes)
        for start, end in union(*runs):
            for offset in range(start, end, PIECE_LEN):
                length = min(PIECE_LEN, end - offset)
                piece_a, piece_b = os.pread(a, length, offset), os.pread(b, length, offset)
                if piece_a != piece_b:
                    at = next(
                        (i for i, pair in enumerate(zip(piece_a, piece_b)) if pair[0] != pair[1]),
                        min(len(piece_a), len(piece_b)),
                    )
                    self.differ(path, f"content from byte {offset + at}")
                    return

    def link_groups(self):
        """Compares which names are the same file. Names outside of the trees are not seen."""
        groups = [
            {tuple(sorted(names)) for names in links.values() if len(names) > 1}
            for links in self.links
        ]
        self.link_group_count = len(groups[0])
        for side, extra in enumerate((groups[0] - groups[1], groups[1] - groups[0])):
            for names in sorted(extra):
                listed = " = ".join(map(shown, names[:5])) + (" = …" if len(names) > 5 else "")
                self.differ(names[0], f"one file only in {'AB'[side]}: {listed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--no-owner", action="store_true", help="leave out user and group")
    parser.add_argument(
        "--no-times-on-root", action="store_true", help="leave out the time of A and B themselves"
    )
    parser.add_argument(
        "--hole-grain",
        type=int,
        default=4096,
        metavar="BYTES",
        help="compare holes rounded inwards to the blocks of the file system (default 4096)",
    )
    parser.add_argument(
        "--hole-min",
        type=int,
        default=1,
        metavar="BYTES",
        help="leave out shorter holes, which a backup may store as zeros (default: none)",
    )
    options = parser.parse_args()
    if options.hole_grain < 1:
        parser.error("--hole-grain must be at least 1")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    comparison = Comparison(options)
    try:
        comparison.trees(os.fsencode(options.a), os.fsencode(options.b))
    except OSError as error:
        print(f"could not compare: {error}", file=sys.stderr)
        return 2
    if comparison.difference_count:
        print(f"{comparison.difference_count} differences")
        return 1
    print(
        f"{comparison.entry_count} entries, {comparison.link_group_count} link groups, "
        f"{comparison.hole_file_count} files with holes: equal"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
