"""The pages of a curve and of a sweep in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.bench.page.test_browser import STANDARDS, opened, too_wide
from tests.bench.sweep.test_sweep import played
from valkeyctl.bench.sweep.accesses import from_keys
from valkeyctl.bench.sweep.bends import bends
from valkeyctl.bench.sweep.curve import miss_ratio_curve
from valkeyctl.bench.sweep.curvereport import HTML_FILE
from valkeyctl.bench.sweep.curvereport import write as write_curve
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.sweepreport import write as write_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module", params=["curve", "sweep"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page, as its command writes it."""
    folder = tmp_path_factory.mktemp("page")
    if request.param == "curve":
        keys = [n * n % 997 % (1 + n % 400) for n in range(4000)]
        write_curve(miss_ratio_curve(from_keys(keys), EntryMemory()), folder)
        return folder / HTML_FILE
    found = played(folder, "rate", "10", "20", "40", latency=lambda rate: rate, wrong_at=40)
    return write_sweep(found, bends(found))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, file: Path, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 AA, in both colour schemes."""
    with opened(browser, file, scheme=scheme) as page:
        page.eval_on_selector_all("tr:nth-child(n + 5)", "all => all.forEach(one => one.remove())")
        found = Axe().run(page, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})

    assert found.violations_count == 0, found.generate_report()


def test_nothing_is_wider_than_a_phone(browser: Browser, file: Path) -> None:
    """But what scrolls by itself."""
    with opened(browser, file, width=360) as page:
        page.eval_on_selector_all(".scroll", "all => all.forEach(one => one.remove())")
        assert too_wide(page) == []
