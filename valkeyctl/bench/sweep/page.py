"""A curve or a sweep as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.bench.figures.conclusion import Sentence


@dataclass(frozen=True)
class Figure:
    """A plot.

    Attributes:
        title: Above it.
        about: What it shows, in a sentence.
        svg: The plot itself; trusted.
    """

    title: str
    about: str
    svg: str


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """What one page holds, from top to bottom.

    Attributes:
        title: Of the page.
        about: Below it: what was looked at.
        conclusion: In words, most important first.
        figures: Plots.
        tables: All that is drawn, as numbers.
        facts: Name and value of everything that a reader needs to judge it.
    """

    title: str
    about: str
    conclusion: tuple[Sentence, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    facts: tuple[tuple[str, str], ...]

    def render(self) -> str:
        """Return the HTML; every value but the plots is escaped."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("valkeyctl.bench"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("sweep.html.j2").render(page=self)
