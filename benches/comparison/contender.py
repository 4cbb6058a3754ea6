"""A tool with the repository of one tree and one repetition."""

import os
import subprocess
import sys

from . import measure
from .install import say
from .tools import TOOLS

HERE = os.path.dirname(os.path.abspath(__file__))
SAME_TREE = os.path.join(HERE, "..", "..", "tests", "support", "same_tree.py")


class Contender:
    """What it does, with the figures of it."""

    def __init__(self, tool, program, place, repetition):
        self.place, self.repetition = place, repetition
        os.makedirs(place)
        self.tool = TOOLS[tool](program, place)
        self.snapshot_count = 0
        self.failed = False
        self.log = f"{place}/log"
        for command in self.tool.init():
            if measure.run(command, self.tool.env, place, self.log)["exit"]:
                raise SystemExit(f"compare: {tool} cannot init: {measure.tail(self.log)}")

    def backup(self, source):
        command = self.tool.backup(source, self.snapshot_count)
        self.snapshot_count += 1
        return measure.run(command, self.tool.env, self.place, self.log)

    def restore(self, source):
        target = f"{self.place}/restored"
        os.makedirs(target)
        command = self.tool.restore(self.snapshot_count - 1, target)
        figures = measure.run(command, self.tool.env, target, self.log, settles=True)
        if not figures["exit"]:
            # Some restore the whole path, some only what is below it.
            inner = target + source
            figures["same"] = same(source, inner if os.path.isdir(inner) else target)
        return figures

    def check(self):
        command = self.tool.check()
        return command and measure.run(command, self.tool.env, self.place, self.log)

    def thin(self, ids):
        return measure.run(self.tool.thin(ids), self.tool.env, self.place, self.log)

    def squeeze(self):
        return measure.run(self.tool.squeeze(), self.tool.env, self.place, self.log)


def same(source, restored):
    """Whether names, types, modes, owners, times and contents came back."""
    # Where a file of zeros has holes is up to each tool.
    command = [sys.executable, SAME_TREE, "--no-times-on-root", f"--hole-min={1 << 62}"]
    run = subprocess.run([*command, source, restored], capture_output=True, text=True)
    if run.returncode:
        say("\n".join((run.stdout + run.stderr).splitlines()[-5:]))
    return run.returncode == 0
