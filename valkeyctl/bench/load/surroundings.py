"""What of the user's surroundings reaches a process that sends load: not its Locust settings.

Locust takes options from ``~/.locust.conf``, from ``locust.conf`` and ``pyproject.toml`` of
the folder it starts in, and from variables; gevent takes some from variables. One of them is
enough to end a run, or to change what it measures. The files are read by Locust's command
alone, which is not used here; the variables are left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_SETTINGS = ("LOCUST_", "GEVENT_", "GEVENTARES_")


def command_of(module: str, *words: str) -> list[str]:
    """Return the command that runs *module* of ours with *words* as its arguments.

    Without the folder it starts in on the import path: a ``locust.py`` or ``random.py`` that
    lies there would be taken for the module.
    """
    return [sys.executable, "-P", "-m", module, *words]


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return our environment for a child, with *extra* and without settings of such tools."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_SETTINGS)}
    return {**inherited, **extra}
