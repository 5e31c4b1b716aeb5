"""The library's front door."""

from __future__ import annotations

import subprocess
import sys

import pytest

import valkeyctl.caching as library


@pytest.mark.parametrize("name", library.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Loaded on first use, and listed."""
    assert getattr(library, name).__name__ == name
    assert name in dir(library)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="Nonsense"):
        library.Nonsense  # noqa: B018


def test_importing_the_library_does_nothing_yet() -> None:
    """No driver is loaded before somebody wants a client."""
    program = "import sys, valkeyctl.caching; print('redis' in sys.modules)"

    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert shown.stdout.strip() == "False"
