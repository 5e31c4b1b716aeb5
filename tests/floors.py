"""Print the lowest versions that pyproject.toml allows, as pip constraints.

``make floors`` installs exactly these and runs the quick tests on them, so that a
floor is a version that was tried.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_FLOOR = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9][0-9a-z.]*)")


def floors(pyproject: str) -> list[str]:
    """Return one ``name==version`` for each requirement with a floor."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    # Tools of ours (dev) have no floor that a user meets.
    groups = [project["dependencies"], *(extras[name] for name in extras if name != "dev")]
    found = (_FLOOR.fullmatch(requirement) for group in groups for requirement in group)
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    sys.stdout.write("\n".join(floors(text)) + "\n")
