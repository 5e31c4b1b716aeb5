"""The page in a real browser: readable by everybody, on a phone, in the dark, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm, Node
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# A4 less the margins that the page asks for, at 96 points an inch.
PAPER_WIDTH = round((210 - 24) / 25.4 * 96)


def everything() -> Samples:
    """Return a run with all that a page can show.

    Four arms, two of them alike, streams, tokens, a fault, a cold start, and what the
    server counted.
    """
    arms = (
        *DEFAULT_ARMS,
        Arm("near-cache-with-a-name-of-forty-letters-", env=(("A", "1"),)),
        DEFAULT_ARMS[1].again(),
    )
    plan = replace(Plan.of(rounds=20, prices=Prices(3, 15)), arms=arms)
    wobble = [0.02 * (n * 7 % 5) for n in range(20)]
    fast = [[(9.0 if n < 3 else 1.0) + wobble[n]] * 20 for n in range(20)]
    slow = [[9.0 + wobble[n]] * 20 for n in range(20)]
    says = [
        lambda index: ("miss", "hit", "collapsed", "hit", "stale")[index % 5 if index > 60 else 0],
        lambda _: "bypass",
    ]
    samples = made_up(plan, [fast, slow, fast, slow], outcomes=says * 2)
    rows = samples.rows
    rows["first"], rows["events"] = rows["intended"] + 0.0005, 9
    rows["input"], rows["output"] = 500, 100
    stages = tuple(replace(one, cpu=0.5 * (one.end - one.begin)) for one in samples.stages)
    begin = samples.stages[5].begin
    facts: dict[str, Node] = {
        **samples.facts,
        "environment": {"load_average": [0.5, 1, 1], "load_average_after": [2, 1, 1]},
        "disturbances": [
            {"kind": "hang", "arm": "cached", "round": 5, "at_s": begin, "undone_s": begin + 0.01}
        ],
        "servers": [
            {
                "address": "127.0.0.1:6379",
                "arms": ["cached"],
                "throwaway": True,
                "settings": {"maxmemory": "64mb"},
                "before": {"keyspace_hits": 1, "used_memory_bytes": 2**20},
                "after": {"keyspace_hits": 9, "used_memory_bytes": 2**25},
                "delta": {"keyspace_hits": 8},
            }
        ],
    }
    return replace(samples, stages=stages, facts=facts)


def failing() -> Samples:
    """Return a run with errors, whose words come from outside."""
    samples = made_up(
        Plan.of(rounds=6),
        [[[1.0] * 40] * 6, [[9.0] * 40] * 6],
        failed=lambda arm, index: arm == 0 and index % 9 == 0,
        incomplete=True,
        interrupted="Ctrl-C",
    )
    text = "unexpected <b>answer</b>: " + "x" * 300
    return replace(samples, errors=(text,))


@pytest.fixture(scope="module", params=["everything", "failing"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report, as `bench` writes it."""
    samples = everything() if request.param == "everything" else failing()
    folder = tmp_path_factory.mktemp("report")
    report(replace(samples, folder=folder)).write()
    return folder / "report.html"


@contextmanager
def opened(
    browser: Browser, file: Path, *, width: int = 1200, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """Open *file* with the network off."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True
    )
    try:
        page = context.new_page()
        page.goto(file.as_uri())
        yield page
    finally:
        context.close()


def too_wide(page: Page) -> list[str]:
    """Return what reaches beyond the right edge."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
          .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
          .map(one => one.outerHTML.slice(0, 80))"""
    )
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, file: Path, scheme: Literal["light", "dark"]) -> None:
    """WCAG 2.2 AA, in both colour schemes, tables unfolded."""
    with opened(browser, file, scheme=scheme) as page:
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        # Rows of a long table are alike, and axe looks at every cell for a hundredth of a second.
        page.eval_on_selector_all("tr:nth-child(n + 5)", "all => all.forEach(one => one.remove())")
        found = Axe().run(page, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})

    assert found.violations_count == 0, found.generate_report()


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Browser, file: Path) -> None:
    """One file, opened without a network."""
    context = browser.new_context(offline=True)
    try:
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
    finally:
        context.close()

    assert asked == [file.as_uri()]
    assert said == []
    assert 20_000 < file.stat().st_size < 400_000


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, file: Path) -> None:
    """320 px; only wide tables scroll, inside of themselves."""
    with opened(browser, file, width=320) as page:
        width = page.evaluate("document.documentElement.scrollWidth")

    assert width <= 320


def test_paper_clips_nothing(browser: Browser, file: Path, tmp_path: Path) -> None:
    """Black on white, as wide as the sheet, and every table whole."""
    with opened(browser, file, width=PAPER_WIDTH, scheme="dark") as page:
        page.emulate_media(media="print")
        colours = page.evaluate(
            "(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))"
        )
        clipped = too_wide(page)
        page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)

    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert clipped == []
    pdf = (tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") >= 2


def test_the_keyboard_reaches_what_scrolls_or_unfolds(browser: Browser, file: Path) -> None:
    """And shows where it is."""
    with opened(browser, file) as page:
        wanted = page.locator("[tabindex='0']:visible, summary").count()
        seen = []
        for _ in range(wanted):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    """() => [document.activeElement.tagName,
                              getComputedStyle(document.activeElement).outlineStyle,
                              parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"""
                )
            )

    assert wanted >= 4
    assert {tag for tag, *_ in seen} == {"DIV", "SUMMARY"}
    assert all(style == "solid" and width >= 2 for _, style, width in seen)
