"""Rendered files as they were last agreed on.

``python -m tests.golden`` renders them anew, and the three files at the top of the
repository with them; read the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from valkeyctl.profile import load
from valkeyctl.render import COMPOSE, CONF, POD, render

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHIPPED = ROOT / "profiles"
# Each folder beside this file is called as the profile that it is the render of.
PROFILES: Mapping[str, Path] = {
    "default": SHIPPED / "default.yaml",
    "ci": SHIPPED / "ci.yaml",
    "full": HERE / "full.yaml",
}


def expected() -> dict[Path, str]:
    """Return what each committed file should hold."""
    found: dict[Path, str] = {}
    for name, profile in PROFILES.items():
        files = render(load(profile)).files
        found |= {HERE / name / file: text for file, text in files.items()}
        if name == "default":
            found |= {ROOT / file: files[file] for file in (CONF, POD, COMPOSE)}
    return found
