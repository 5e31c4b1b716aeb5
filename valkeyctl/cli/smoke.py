"""``valkeyctl smoke``: the checks a CI job gates on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import library_logs, say, show
from valkeyctl.cli.runtimes import RuntimeName
from valkeyctl.errors import FolderError

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def smoke(
    ctx: typer.Context,
    deploy: Annotated[bool, typer.Option("--deploy", help="Deploy the profile first.")] = False,
    runtime: RuntimeName = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML here.")
    ] = None,
    deadline: Annotated[
        float,
        typer.Option("--deadline", min=0.05, max=3600, help="Seconds that one call may take."),
    ] = 2.0,
) -> None:
    """Run the CI smoke checks: set, get, TTL, flush, reconnect (status 1 on a failure)."""
    from valkeyctl.ops.junit import junit_xml
    from valkeyctl.ops.smoke import smoke as check

    library_logs(ctx)
    if deploy:
        from valkeyctl.ops.deploy import deploy as bring_up

        profile = target.profile(ctx)
        found = bring_up(
            profile,
            target.state(ctx),
            runtime=runtime.value if runtime else profile.runtime,
            progress=partial(say, ctx),
        )
        say(ctx, f"{found.name}: {found.action} on {found.runtime}")
    report = check(target.endpoint(ctx), target.app_name(ctx), deadline=deadline)
    if junit is not None:
        try:
            junit.write_text(junit_xml("valkeyctl.smoke", report.cases))
        except OSError as error:
            raise FolderError(
                f"{junit} cannot be written: {error.strerror}", hint="Choose another --junit"
            ) from error
    passed = all(case.passed for case in report.cases)

    def human(console: Console) -> None:
        for case in report.cases:
            mark = "ok  " if case.passed else "FAIL"
            line = f"{mark} {case.name:<24} {case.seconds * 1000:7.1f} ms  {case.message}"
            console.print(line.rstrip(), markup=False, soft_wrap=True)
        good = sum(case.passed for case in report.cases)
        console.print(f"{good} passed, {len(report.cases) - good} failed", markup=False)

    names = [case.name for case in report.cases if not case.passed]
    show(ctx, report, human=human, status="ok" if passed else "fail", names=names)
    raise typer.Exit(0 if passed else 1)
