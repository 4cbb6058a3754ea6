#!/usr/bin/env python3
"""Runs a command, then prints the peak of its memory: peak.py COMMAND ARGUMENT..."""
import resource
import subprocess
import sys

code = subprocess.run(sys.argv[1:], check=False).returncode
# KiB on Linux; mapped files that were touched count as well.
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"peak memory {peak / 1024:.0f} MiB", file=sys.stderr)
sys.exit(code)
