"""Finds Parados and its peers, or installs the peers that lack.

A program is looked for in the directory of tools, then on PATH. Installing takes the newest version
that was tried, builds what is built from source into the directory of tools, and takes what Debian
has where the compiler of the language is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile

RESTIC = "v0.18.1"
BORG = "1.4.5"
RUSTIC = "0.11.4"
BUPSTASH = "0.12.0"
KOPIA = "v0.22.3"

BORG_LIBRARIES = (
    "build-essential", "pkg-config", "python3-dev", "python3-venv", "libacl1-dev", "libssl-dev",
    "liblz4-dev", "libxxhash-dev", "libzstd-dev")


def say(text):
    print(text, file=sys.stderr, flush=True)


def find(name, bin_dir):
    """The absolute path of a program, or None."""
    found = shutil.which(name, path=bin_dir + os.pathsep + os.environ.get("PATH", ""))
    return found and os.path.abspath(found)


def step(*command, **env):
    say("+ " + " ".join(command))
    return subprocess.run(command, env={**os.environ, **env}).returncode == 0


def apt(*packages):
    """Debian's packages, by root or with sudo."""
    if not shutil.which("apt-get"):
        return False
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    environment = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    return step(*environment, "update") and step(*environment, "install", "-y", *packages)


def cargo(bin_dir, crate, version, *more):
    root = os.path.dirname(bin_dir)
    return step("cargo", "install", crate, "--locked", "--version", version, "--root", root, *more)


def install_restic(bin_dir):
    package = f"github.com/restic/restic/cmd/restic@{RESTIC}"
    return (shutil.which("go") and step("go", "install", package, GOBIN=bin_dir)) or apt("restic")


def install_borg(bin_dir):
    home = os.path.join(os.path.dirname(bin_dir), "borg")
    if (
        apt(*BORG_LIBRARIES)
        and step(sys.executable, "-m", "venv", home)
        and step(f"{home}/bin/pip", "install", "-q", f"borgbackup=={BORG}")
    ):
        link = os.path.join(bin_dir, "borg")
        if os.path.lexists(link):
            os.remove(link)
        os.symlink(f"{home}/bin/borg", link)
        return True
    return apt("borgbackup")


def install_rustic(bin_dir):
    # The features left out are front ends and filters.
    return cargo(bin_dir, "rustic-rs", RUSTIC, "--no-default-features")


def install_bupstash(bin_dir):
    return apt("libsodium-dev", "pkg-config") and cargo(bin_dir, "bupstash", BUPSTASH)


def install_kopia(bin_dir):
    if not shutil.which("go"):
        return False
    # As a module that needs it: `go install` asks for the list of versions, which not every proxy has.
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/go.mod", "w") as file:
            file.write(f"module build\n\nrequire github.com/kopia/kopia {KOPIA}\n")
        words = ("build", "-C", directory, "-mod=mod", "-o", f"{bin_dir}/kopia")
        return step("go", *words, "github.com/kopia/kopia")


INSTALLERS = {
    "restic": install_restic,
    "borg": install_borg,
    "rustic": install_rustic,
    "bupstash": install_bupstash,
    "kopia": install_kopia,
}


def install(name, bin_dir):
    """Installs one peer; what cannot be installed is named."""
    os.makedirs(bin_dir, exist_ok=True)
    if not INSTALLERS[name](bin_dir):
        say(f"compare: {name} could not be installed")
