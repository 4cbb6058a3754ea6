"""What all comparisons are asked, and what they run on: tools, trees, directories."""

import argparse
import os
import shutil
import subprocess

from . import install, report
from .install import say

BENCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def names(allowed):
    """Parses a list of names with commas between."""
    def parse(text):
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in allowed]:
            raise argparse.ArgumentTypeError(f"no such name: {', '.join(unknown)}")
        return chosen
    return parse


def parser(about, tools):
    """The options that every comparison has."""
    cache = os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "parados-bench")
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--tools", type=names(tools), default=list(tools), help=f"of {','.join(tools)}")
    add("--scale", type=float, default=1.0, help="share of the full size of the trees")
    add("--seed", type=int, default=1, help="what the trees are made from")
    add("--parados", default=find_parados(), help="the program to measure [%(default)s]")
    add("--install", action="store_true", help="install the peers that are not there")
    add("--tools-dir", default=f"{cache}/tools", help="where peers are installed [%(default)s]")
    add("--data", default=f"{cache}/trees", help="where trees are kept [%(default)s]")
    add("--work", default=cache, help="where repositories and restores go [%(default)s]")
    return made


def parse(made):
    """What was typed."""
    options = made.parse_args()
    if options.scale <= 0:
        made.error("--scale is above zero")
    options.data, options.work = map(os.path.abspath, (options.data, options.work))
    return options


def make_trees(options, trees):
    """Makes the generated trees, unless they are there; returns their directory."""
    made = f"{options.data}/seed-{options.seed}-scale-{options.scale:g}"
    for tree in trees:
        if not os.path.isdir(f"{made}/{tree}"):
            say(f"making {tree} in {made}")
            # In a directory of its own first, so that half a tree is never taken for one.
            new = f"{made}/new-{os.getpid()}"
            trees_program(options, new, tree)
            os.rename(f"{new}/{tree}", f"{made}/{tree}")
            os.rmdir(new)
    return made


def trees_program(options, top, tree, *more):
    words = ["--trees", tree, "--scale", str(options.scale), "--seed", str(options.seed), *more]
    subprocess.run([f"{BENCHES}/trees", top, *words], check=True)


def find_tools(options):
    """The programs that are there, by name, after installing if asked to."""
    bin_dir = os.path.join(options.tools_dir, "bin")
    found = {}
    for name in options.tools:
        program = options.parados if name == report.OURS else install.find(name, bin_dir)
        if not program and name != report.OURS and options.install:
            install.install(name, bin_dir)
            program = install.find(name, bin_dir)
        if program and shutil.which(program):
            found[name] = os.path.abspath(program)
        else:
            say(f"compare: there is no {name}" + ("" if options.install else "; try --install"))
    return found


def find_parados():
    top = os.environ.get("CARGO_TARGET_DIR", os.path.join(BENCHES, "..", "target"))
    built = os.path.join(top, "debug", "parados")
    return built if os.path.exists(built) else shutil.which("parados")


def copy(source, target):
    """A copy with its times: it gets changed, and the next run needs the original."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True)
