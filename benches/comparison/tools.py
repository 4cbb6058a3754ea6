"""The command lines of Parados and its peers: one class a program.

All get the same: a repository on the local disk, encrypted, with the compression a person gets who
asks for nothing (borg is told `auto,zstd,3`, as its default, lz4, plays in another league; kopia,
which would not compress, `zstd`), no progress, and a directory for caches and keys of their own. A
program that can be opened by a key file without a slow key derivation is; restic, borg and kopia
cannot, so their figures contain it.
"""

import json
import os
import subprocess

PASSPHRASE = "benchmark"


class Tool:
    """A program with one repository. `place` is a directory of its own for all it writes."""

    name = ""
    # How the repository is opened, for the reader of the table.
    opened_by = "passphrase"

    def __init__(self, program, place):
        self.program = program
        self.place = place
        self.repository = f"{place}/repository"
        self.env = {
            **os.environ,
            "HOME": f"{place}/home",
            "XDG_CACHE_HOME": f"{place}/cache",
            "XDG_CONFIG_HOME": f"{place}/config",
            "XDG_DATA_HOME": f"{place}/data",
            **self.settings(),
        }

    def settings(self):
        """Environment variables."""
        return {}

    def init(self):
        """Commands that make the repository."""
        raise NotImplementedError

    def backup(self, source, number):
        """Makes the snapshot `number`, counted from 0."""
        raise NotImplementedError

    def restore(self, number, target):
        """Restores the latest snapshot, `number`, in and into the empty directory `target`."""
        raise NotImplementedError

    def check(self):
        """Reads and verifies all stored bytes; None where the program cannot."""
        return None

    def snapshots(self):
        """The ids of all snapshots, oldest first."""
        raise NotImplementedError

    def thin(self, ids):
        """Forgets these snapshots and deletes at once what only they needed, as it is wont to."""
        raise NotImplementedError

    def squeeze(self):
        """Deletes at once all that nobody needs, down to the last byte of a pack."""
        raise NotImplementedError

    def asked(self, command):
        """What a command prints as JSON."""
        run = subprocess.run(command, env=self.env, capture_output=True, check=True)
        return json.loads(run.stdout)

    @classmethod
    def version(cls, program):
        words = {"parados": "version", "restic": "version"}.get(cls.name, "--version")
        run = subprocess.run([program, words], capture_output=True, text=True, check=True)
        return run.stdout.strip().splitlines()[0]


class ResticWords(Tool):
    """A tool whose command line is restic's."""

    def backup(self, source, number):
        return [self.program, "-q", "backup", source]

    def restore(self, number, target):
        return [self.program, "-q", "restore", "latest", "--target", target]

    def check(self):
        return [self.program, "-q", "check", "--read-data"]

    def snapshots(self):
        found = self.asked([self.program, "snapshots", "--json"])
        return [snapshot["id"] for snapshot in sorted(found, key=lambda one: one["time"])]

    def thin(self, ids):
        return [self.program, "-q", "forget", *ids, "--prune"]

    def squeeze(self):
        return [self.program, "-q", "prune", "--max-unused", "0"]


class Parados(ResticWords):
    name = "parados"
    opened_by = "key file"

    def settings(self):
        return {
            "PARADOS_REPOSITORY": self.repository,
            "PARADOS_KEY_FILE": f"{self.place}/key",
            "PARADOS_CACHE_DIR": f"{self.place}/cache",
        }

    def init(self):
        return [[self.program, "-q", "init", "--no-recovery-code"]]

    def restore(self, number, target):
        # What the others restore as root unasked.
        return [*super().restore(number, target), "--special"]

    def thin(self, ids):
        return [*super().thin(ids), "--grace", "0"]

    def squeeze(self):
        return [*super().squeeze(), "--grace", "0"]


class Restic(ResticWords):
    name = "restic"

    def settings(self):
        return {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": PASSPHRASE}

    def init(self):
        return [[self.program, "-q", "init", "--repository-version", "2"]]


class Borg(Tool):
    name = "borg"

    def settings(self):
        return {
            "BORG_REPO": self.repository,
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": f"{self.place}/borg",
        }

    def init(self):
        return [[self.program, "init", "-e", "repokey-blake2"]]

    def backup(self, source, number):
        return [self.program, "create", "-C", "auto,zstd,3", f"::{number}", source]

    def restore(self, number, target):
        # It restores into the working directory, which is the target.
        return [self.program, "extract", f"::{number}"]

    def check(self):
        return [self.program, "check", "--verify-data"]


class Rustic(Tool):
    name = "rustic"

    def settings(self):
        return {"RUSTIC_REPOSITORY": self.repository, "RUSTIC_PASSWORD": PASSPHRASE}

    def rustic(self, *words):
        return [self.program, "--no-progress", "--log-level", "warn", *words]

    def init(self):
        return [self.rustic("init")]

    def backup(self, source, number):
        return self.rustic("backup", source)

    def restore(self, number, target):
        return self.rustic("restore", "latest", target)

    def check(self):
        return self.rustic("check", "--read-data")

    def snapshots(self):
        groups = self.asked(self.rustic("snapshots", "--json"))
        found = [snapshot for group in groups for snapshot in group["snapshots"]]
        return [snapshot["id"] for snapshot in sorted(found, key=lambda one: one["time"])]

    def thin(self, ids):
        return self.rustic("forget", *ids, "--prune", "--instant-delete")

    def squeeze(self):
        return self.rustic("prune", "--max-unused", "0", "--instant-delete")


class Bupstash(Tool):
    name = "bupstash"
    opened_by = "key file"

    def settings(self):
        return {"BUPSTASH_REPOSITORY": self.repository, "BUPSTASH_KEY": f"{self.place}/key"}

    def init(self):
        return [[self.program, "new-key", "-o", f"{self.place}/key"], [self.program, "init"]]

    def backup(self, source, number):
        # The log of what was sent is what makes an unchanged run short.
        log = ["--send-log", f"{self.place}/sent"]
        return [self.program, "put", "-q", *log, f"number={number}", source]

    def restore(self, number, target):
        return [self.program, "restore", "-q", "--into", target, f"number={number}"]


class Kopia(Tool):
    name = "kopia"

    def settings(self):
        return {
            "KOPIA_PASSWORD": PASSPHRASE,
            "KOPIA_CONFIG_PATH": f"{self.place}/kopia.config",
            "KOPIA_CACHE_DIRECTORY": f"{self.place}/cache",
            "KOPIA_LOG_DIR": f"{self.place}/logs",
            "KOPIA_CHECK_FOR_UPDATES": "false",
        }

    # What it restores is named by what was backed up.
    source = None

    def kopia(self, *words):
        return [self.program, "--no-progress", *words]

    def init(self):
        # Its default is not to compress.
        return [
            self.kopia("repository", "create", "filesystem", "--path", self.repository),
            self.kopia("policy", "set", "--global", "--compression", "zstd")]

    def backup(self, source, number):
        self.source = source
        return self.kopia("snapshot", "create", source)

    def restore(self, number, target):
        return self.kopia("snapshot", "restore", self.source, target)

    def check(self):
        return self.kopia("snapshot", "verify", "--verify-files-percent=100")


TOOLS = {tool.name: tool for tool in (Parados, Restic, Borg, Rustic, Bupstash, Kopia)}
