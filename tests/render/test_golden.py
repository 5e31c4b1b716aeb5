"""Rendered files are those that were last agreed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import HERE, PROFILES, ROOT, expected
from valkeyctl.profile import load
from valkeyctl.render import CONF, POD, render


@pytest.mark.parametrize("path", expected(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_committed_file_is_what_its_profile_renders(path: Path) -> None:
    """`python -m tests.golden` renders them anew."""
    assert path.read_text() == expected()[path]


def test_the_files_at_the_top_are_the_default_profile() -> None:
    """Whoever copies them has what `valkeyctl deploy` starts."""
    assert {ROOT / CONF, ROOT / POD} < expected().keys()


def test_no_golden_file_is_left_over() -> None:
    """A profile that went away takes its golden files with it."""
    found = {path for path in HERE.glob("*/*") if path.parent.name != "__pycache__"}

    assert found <= expected().keys()


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_profile_gives_the_same_text(name: str) -> None:
    """A second render changes nothing, so that a diff means something."""
    first, second = render(load(PROFILES[name])), render(load(PROFILES[name]))

    assert first == second
    assert first.digest == second.digest
