"""A browser to look at the page with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_COMMANDS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine; skips where there is none, and fails in CI then."""
    from playwright.sync_api import sync_playwright

    command = next((path for name in _COMMANDS if (path := shutil.which(name))), None)
    if command is None:
        if os.environ.get("VALKEYCTL_REQUIRE_BROWSER") == "1":
            pytest.fail("VALKEYCTL_REQUIRE_BROWSER=1, and no chromium is on PATH")
        pytest.skip("no chromium is on PATH")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=command)
        yield chromium
        chromium.close()
