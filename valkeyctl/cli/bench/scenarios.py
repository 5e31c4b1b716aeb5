"""``valkeyctl bench scenarios``: what can be played, and a file to begin one's own from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import show
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.bench.traffic.scenario import Scenario
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def scenarios(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one, to copy and change.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a scenario, for editors.")
    ] = False,
) -> None:
    """List the scenarios, or print one to copy.

    A scenario of your own is a YAML file: bench scenarios api > mine.yaml, then
    bench --scenario mine.yaml.
    """
    from valkeyctl.bench.traffic.scenariofile import describe, load_scenario, shipped

    if schema:
        if name is not None:
            raise UsageError("--schema is of every scenario", hint=f"Leave out --schema, or {name}")
        from valkeyctl.bench.traffic.schema import scenario_schema

        document = scenario_schema()

        def raw(console: Console) -> None:
            del console
            sys.stdout.write(json.dumps(document, indent=2) + "\n")

        show(ctx, {"schema": document}, human=raw)
        return
    if name is not None:
        text = describe(name).source
        if options(ctx).output in {Output.TABLE, Output.NAME}:
            sys.stdout.write(text)
            return
        show(ctx, {"name": name, "text": text}, human=lambda _: None)
        return
    found = [load_scenario(one) for one in shipped()]

    def human(console: Console) -> None:
        for one in found:
            console.print(f"{one.name:<12}{one.about}", markup=False, soft_wrap=True)

    show(
        ctx,
        {"scenarios": [_row(one) for one in found]},
        human=human,
        names=[one.name for one in found],
    )


def _row(one: Scenario) -> dict[str, object]:
    return {
        "name": one.name,
        "about": one.about,
        "application": one.application,
        "load_model": "closed" if one.rate is None else "open",
        "users": one.users if one.rate is None else None,
        "rate": one.rate,
        "during": None if one.during is None else one.during.kind,
    }
