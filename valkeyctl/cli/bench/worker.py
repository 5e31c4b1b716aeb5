"""``valkeyctl bench worker``: send load for a run that a master conducts elsewhere."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli.bench.options import seconds
from valkeyctl.cli.bench.wishes import MASTER_HOST, MASTER_PORT
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show
from valkeyctl.cli.progress import Report as Bar
from valkeyctl.cli.progress import progress
from valkeyctl.errors import FolderError, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from valkeyctl.bench.load.workers import Work
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def worker(
    ctx: typer.Context,
    master_host: Annotated[
        str, typer.Option("--master-host", metavar="HOST", help="Where bench --master runs.")
    ] = MASTER_HOST,
    master_port: Annotated[
        int, typer.Option("--master-port", metavar="PORT", min=1, max=65535, help="Its port.")
    ] = MASTER_PORT,
    token_file: Annotated[
        str,
        typer.Option(
            "--token-file",
            metavar="FILE|-",
            help="Holds the token that the master printed; - reads standard input.",
        ),
    ] = "-",  # noqa: S107 - where it is, not the token itself
    locustfile: Annotated[
        Path | None,
        typer.Option(
            "--locustfile", metavar="FILE", help="The same file as the master's, if it has one."
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", help="How long the master may take to answer.")
    ] = "60s",
) -> None:
    """Send load for a bench --master that runs elsewhere.

    Joins the run, plays its part of every round, sends the samples back, and ends with 0
    when the run is over. One process; start as many as the machine has cores.
    """
    from valkeyctl.bench.load.workers import work
    from valkeyctl.bench.run import check_extras
    from valkeyctl.runtime.trialfolder import trial_folder

    check_extras()
    patience = seconds(wait, "--wait") or 60.0
    token = _token(token_file)
    if locustfile is not None:
        from valkeyctl.bench.load.checking import inspect

        inspect(locustfile)
    # What a killed worker has left is removed by the next.
    with trial_folder() as folder, progress(ctx, "worker") as bar:
        try:
            done = work(
                (master_host, master_port),
                token,
                locustfile=None if locustfile is None else locustfile.absolute(),
                patience=patience,
                log=folder / "worker.log",
                progress=partial(_follow, bar),
            )
        except KeyboardInterrupt as error:
            raise InterruptedRunError(
                "the worker was stopped, and with it the run", hint="Start the run again"
            ) from error
    show(
        ctx,
        {"worker": done.worker, "workers": done.workers, "samples": done.samples},
        human=partial(_print, done=done),
    )


def _follow(bar: Bar, now: Work) -> None:
    """Show how far the worker is."""
    if not now.arm:
        bar(None, "waits for the run" if now.phase != "connecting" else "connecting")
        return
    where = f"{now.arm} {now.round}/{now.rounds}" if now.round else f"{now.arm} warm-up"
    failed = f", {now.failed:,} failed" if now.failed else ""
    bar(now.round / now.rounds, f"{where}, {now.samples:,} answers{failed}")


def _print(console: Console, done: Work) -> None:
    console.print(
        f"worker {done.worker} of {done.workers}: {done.samples:,} samples sent to the master"
    )


def _token(file: str) -> str:
    """Return the token in *file*; ``-`` is standard input.

    Raises:
        FolderError: It cannot be read.
        UsageError: There is none in it.
    """
    try:
        if file == "-":
            if sys.stdin.isatty():
                sys.stderr.write("token: ")
                sys.stderr.flush()
            text = sys.stdin.readline()
        else:
            text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Give the file that holds the token, or - to type it",
        ) from error
    if not text.strip():
        raise UsageError("there is no token", hint="Copy the one that bench --master has printed")
    return text.strip()
