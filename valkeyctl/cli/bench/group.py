"""How ``bench --help`` looks: its options by what they decide, its verbs below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import typer

from valkeyctl.cli.boundary import LazyGroup
from valkeyctl.cli.commands import Entry
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from typer._click import HelpFormatter

VERBS: dict[str, Entry] = {
    "scenarios": Entry("scenarios", "List the scenarios, or print one to copy."),
    "report": Entry("report", "Render the report of a finished run again."),
    "compare": Entry("compare", "Compare finished runs, such as yesterday's and today's."),
    "curve": Entry("curve", "Say how much memory a cache is worth, from a trace or a scenario."),
    "worker": Entry("worker", "Send load for a bench --master that runs elsewhere."),
    "sweep": Entry("sweep", "Measure at several values of one thing, and find where it bends."),
}


class BenchGroup(LazyGroup):
    """A noun that is a command too, with so many options that they need headings."""

    entries: ClassVar[Mapping[str, Entry]] = VERBS
    package: ClassVar[str] = "valkeyctl.cli.bench"

    def format_options(self, ctx: typer.Context, formatter: HelpFormatter) -> None:  # type: ignore[override]  # typer's own Context
        """Write the options under their headings, in the order of their first one."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panel = getattr(param, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append(record)
        # Those without a heading of their own, help among them, come last.
        panels["Options"] = panels.pop("Options")
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)
        self.format_commands(ctx, formatter)


def refuse_own_options(ctx: typer.Context, verb: str) -> None:
    """Prove that none of the options of a run stands before *verb*, where it would say nothing.

    Raises:
        UsageError: One does; names it.
    """
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if param.name in ctx.params and source is not None and source.name == "COMMANDLINE":
            option = max(param.opts, key=len)
            raise UsageError(
                f"{option} before {verb} is an option of a run, which {verb} is not",
                hint=f"Leave it out, or write it after {verb} where that takes it: "
                f"valkeyctl bench {verb} --help",
            )
