"""Runs one command, times it, and says how much memory it took at most.

    python -I -S stopwatch.py < SPEC

A process of its own because the system counts what a process had at its fork as the
child's memory: this one is small. It also sees that the command ends: with SIGKILL at the
time asked for, and with this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time


def main() -> None:
    """Read what to run from stdin, run it, and write what was seen to stdout."""
    spec = json.load(sys.stdin)
    # From here on until there is somebody to pass it on to, SIGTERM has to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    began = time.monotonic()
    process = os.posix_spawnp(
        spec["argv"][0],
        spec["argv"],
        spec["env"],
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, spec["stdin"], os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, spec["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, spec["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ],
        setpgroup=0,  # a pipeline of the shell ends as a whole
        setsigmask=(),
    )

    def end(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.setitimer(signal.ITIMER_REAL, spec["ends_after"])
    _, status, used = os.wait4(process, 0)
    ended = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0)
    # In kilobytes; macOS counts bytes.
    largest = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        json.dumps(
            {
                "began": began,
                "ended": ended,
                "status": os.waitstatus_to_exitcode(status),
                "rss_bytes": largest,
                "cpu_s": used.ru_utime + used.ru_stime,
            }
        )
    )


if __name__ == "__main__":
    main()
