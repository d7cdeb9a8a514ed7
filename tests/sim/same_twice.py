#!/usr/bin/env python3
"""The same seed in two processes gives the same life, byte for byte.

usage: same_twice.py SIM_FLEET
"""
import os, subprocess, sys

program = sys.argv[1]
kinds = ["faults", "planned", "hostile", "forever"]


def trace(kind, seed, spoil):
    """The whole trace; `spoil` fills fresh memory, so that what is not set shows."""
    command = [program, "--kind", kind, "--seed", str(seed), "--lives", "5", "--trace", "-"]
    run = subprocess.run(command, stdout=subprocess.PIPE, timeout=60,
                         env=dict(os.environ, MALLOC_PERTURB_=str(spoil)))
    # The summary says how long it took, which is no part of the life.
    return [line for line in run.stdout.splitlines() if not line.startswith(b"# ")]


print(f"1..{len(kinds)}")
for number, kind in enumerate(kinds, 1):
    first, second = trace(kind, 7, 85), trace(kind, 7, 170)
    same = first == second and len(first) > 1000
    print(f"{'' if same else 'not '}ok {number} - {kind}: {len(first)} lines")
