"""A load generator whose parent has died before it came to look."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os
from valkeyctl.bench.load.parent import Parent
from valkeyctl.bench.load.player import Tally
ours, theirs = os.pipe()
os.close(ours)
parent = Parent(theirs)
parent.watch(lambda: Tally(0, 0), lambda: print("closed", flush=True)).join(30)
"""


def test_a_parent_that_was_gone_before_us_is_noticed() -> None:
    """Its process id never changes then: only the pipe tells, which nobody reads."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (1, "closed\n"), done.stderr
