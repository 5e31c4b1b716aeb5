"""``valkeyctl keys warm``: entries from a file, or requests through a gateway."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.units import format_size, several

if TYPE_CHECKING:
    from valkeyctl.caching.policy import NamespacePolicy
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.loading.batches import Format
    from valkeyctl.ops.keyspace.loading.warm import WarmReport

app = new_app()


@app.command(cls=Command)
def warm(
    ctx: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Lines of JSON {namespace, id, value, ttl?, tags?}, CSV, or an export; "
            "also .gz and .zst; - is stdin.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="json, csv or export; else it is told."),
    ] = None,
    json_values: Annotated[
        bool, typer.Option("--json-values", help="Values of CSV are JSON, not text.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also what is there and fresh.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read back what was stored; status 1 if it differs.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="At most so many a second.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="FILE", help="Write refused lines here.")
    ] = None,
    from_line: Annotated[int, typer.Option("--from-line", min=1, help="Go on at this line.")] = 1,
    request: Annotated[
        Path | None,
        typer.Option(
            "--request", metavar="FILE", help="Send these requests, lines of JSON; - is stdin."
        ),
    ] = None,
    from_bench: Annotated[
        Path | None,
        typer.Option("--from-bench", metavar="DIR", help="Send the requests of a bench run."),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway", metavar="URL", help="Where requests go; default http://127.0.0.1:8080."
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Requests at a time; default 8.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", help="Longest silence of the gateway in a call; default 2m."),
    ] = None,
) -> None:
    """Load entries from a file, or send requests through a gateway.

    What is there and fresh is left. Wrong lines are reported with their number (status 1),
    the rest is loaded.
    """
    if request is not None or from_bench is not None:
        from valkeyctl.cli.keys.requests import warm_by_requests

        if source is not None or form is not None or json_values or replace or verify:
            raise UsageError(
                "requests are sent as they are, so nothing of a file of entries applies",
                hint="Leave out FILE, --format, --json-values, --replace and --verify",
            )
        warm_by_requests(
            ctx,
            file=request,
            bench=from_bench,
            gateway=gateway,
            concurrency=concurrency,
            rate=rate,
            timeout=timeout,
            from_line=from_line,
            rejects=rejects,
        )
        return
    if gateway is not None or concurrency is not None or timeout is not None:
        raise UsageError(
            "--gateway, --concurrency and --timeout are for requests",
            hint="Add --request FILE or --from-bench DIR",
        )
    if source is None:
        raise UsageError(
            "nothing says what to load", hint="Name a file of entries; - reads standard input"
        )
    from valkeyctl.ops.keyspace.loading.warm import WarmOptions
    from valkeyctl.ops.keyspace.loading.warm import warm as load_entries

    chosen = WarmOptions(
        format=_format(form),
        json_values=json_values,
        from_line=from_line,
        replace=replace,
        rate=rate,
        verify=verify,
        rejects_file=rejects,
    )

    def policies(form: Format) -> dict[str, NamespacePolicy] | None:
        # To read the profile takes as long as to load some ten thousand entries, and those of
        # an export need nothing that it says.
        if form.value == "export" and not options(ctx).profile:
            return None
        return target.policies(target.profile(ctx))

    with progress(ctx, "warming") as report:
        found = load_entries(
            target.endpoint(ctx),
            sys.stdin.buffer if str(source) == "-" else source,
            app=target.app_name(ctx),
            options=chosen,
            policies=policies,
            progress=lambda at: report(
                at.read / at.size if at.size else None,
                f"{at.loaded:,} loaded" + (f", {at.skipped:,} fresh" if at.skipped else ""),
                done=at.loaded + at.skipped,
            ),
        )
    _tell(ctx, found)
    wrong = bool(found.rejected or found.mismatched)

    def human(console: Console) -> None:
        speed = f", {found.loaded / found.seconds:,.0f}/s" if found.seconds > 0 else ""
        entries = several(found.loaded, "entry", "entries")
        console.print(f"loaded {entries} ({format_size(found.bytes)}{speed})")
        for count, words in (
            (found.skipped, "skipped, being there and fresh"),
            (found.verified or 0, "read back as they were stored"),
            (found.mismatched, "not read back as they were stored"),
        ):
            if count:
                console.print(f"{count:,} {words}")
        if found.rejected:
            console.print(f"rejected {several(found.rejected, 'line')}")

    show(ctx, found, human=human, status="warn" if wrong else "ok")
    # A job that loads a file must not take half of it for all.
    raise typer.Exit(1 if wrong else 0)


def _format(name: str | None) -> Format | None:
    if name is None:
        return None
    from valkeyctl.ops.keyspace.loading.batches import Format

    try:
        return Format(name)
    except ValueError as error:
        raise UsageError(
            f"--format is json, csv or export, not {name!r}", hint="Leave it out to be told"
        ) from error


def _tell(ctx: typer.Context, found: WarmReport) -> None:
    """Say which lines were refused or not read back, the first of them."""
    for reject in found.rejects:
        say(ctx, f"line {reject.line}: {reject.reason}")
    more = found.rejected - len(found.rejects)
    if more > 0:
        where = f", all in {found.rejects_file}" if found.rejects_file else "; see --rejects"
        say(ctx, f"and {more:,} more{where}")
    for mismatch in found.mismatches:
        say(ctx, f"line {mismatch.line}: {mismatch.reason}")
    more = found.mismatched - len(found.mismatches)
    if more > 0:
        say(ctx, f"and {more:,} more that are not read back")
