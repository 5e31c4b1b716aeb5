"""Every check has its section for the person who has to act on it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_check_has_a_section_on_the_page() -> None:
    """And every section is of a check."""
    page = (ROOT / "docs/how-to/health.md").read_text()
    written = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    sources = [
        ROOT / "valkeyctl/ops/serverchecks.py",
        *(ROOT / "valkeyctl/ops/topology").glob("*checks.py"),
    ]

    made = set()
    for source in sources:
        made |= set(re.findall(r'(?:Check|_lag)\(\s*"(\w+)"', source.read_text()))

    assert made == written
