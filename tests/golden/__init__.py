"""Rendered files as they were last agreed on.

``python -m tests.golden`` renders them anew, and the three files at the top of the
repository with them; read the difference before committing it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.profile import load
from valkeyctl.render import COMPOSE, CONF, POD, render
from valkeyctl.render.targets import Extra, extra

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "profiles"
# Each folder beside this file is called as the profile that it is the render of.
PROFILES: Mapping[str, Path] = {
    "default": SHIPPED / "default.yaml",
    "ci": SHIPPED / "ci.yaml",
    "full": HERE / "full.yaml",
    "sentinel": SHIPPED / "sentinel.yaml",
    "cluster": SHIPPED / "cluster.yaml",
}

# The profiles whose files for systemd and for Kubernetes are kept too.
EXTRA: Mapping[Extra, Mapping[str, Path]] = {
    "quadlet": {"default": PROFILES["default"], "full": PROFILES["full"]},
    "kubernetes": {
        "default": PROFILES["default"],
        "sentinel": SHIPPED / "sentinel.yaml",
        "cluster": SHIPPED / "cluster.yaml",
    },
}


@functools.cache
def expected() -> dict[Path, str]:
    """Return what each committed file should hold."""
    found: dict[Path, str] = {}
    for name, profile in PROFILES.items():
        files = render(load(profile)).files
        found |= {HERE / name / file: text for file, text in files.items()}
        if name == "default":
            found |= {ROOT / file: files[file] for file in (CONF, POD, COMPOSE)}
    for target, profiles in EXTRA.items():
        for name, profile in profiles.items():
            files = extra(load(profile), target)
            found |= {HERE / name / file: text for file, text in files.items()}
    return found
