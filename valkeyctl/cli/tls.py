"""``valkeyctl tls``: certificates of a deployment."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.output import say
from valkeyctl.cli.output import show as show_result
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.tls.show import TlsReport

app = new_app("Make, renew and check the certificates of a deployment.")


@app.command("init", cls=Command)
def init(
    ctx: typer.Context,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="One more name or address; repeatable."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, help="Life of the server's certificate.")
    ] = 397,
    renew: Annotated[
        bool, typer.Option("--renew", help="A new certificate by the same CA, at once in use.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write here, for another machine.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Make a CA of its own, and certificates for its servers and clients.

    Refuses where there are some: --renew keeps the CA, so that no client must be told,
    and gives the new certificate to servers that run; --yes makes a new CA.
    """
    from valkeyctl.ops.tls.hosts import hosts_of, merged, unit_addresses
    from valkeyctl.ops.tls.pair import own_folder
    from valkeyctl.ops.tls.provide import provide

    if renew and yes:
        raise UsageError("--renew keeps the CA and --yes makes a new one", hint="Give one of them")
    profile, state = target.deployment(ctx), target.state(ctx)
    hosts = merged(hosts_of(profile, unit_addresses(profile)), host or ())
    folder = out.absolute() if out else own_folder(state, profile.name)
    if dry_run:
        what = "renew the certificates" if renew else "make a CA and certificates"
        data = {"name": profile.name, "folder": folder, "hosts": hosts, "renew": renew}

        def planned(console: Console) -> None:
            line = f"would {what} in {folder}, for {', '.join(hosts)}"
            console.print(line, markup=False, soft_wrap=True)

        show_result(ctx, data, human=planned, names=[str(folder)])
        return
    found = provide(profile, state, hosts, days, folder=out, renew=renew, new_ca=yes)

    def human(console: Console) -> None:
        rows = [
            ("folder", str(found.folder)),
            ("hosts", ", ".join(found.hosts)),
            ("until", found.not_after[:10]),
            ("CA", f"{'new' if found.new_ca else 'kept'}, until {found.ca_not_after[:10]}"),
        ]
        if found.reloaded:
            rows.append(("in use by", ", ".join(found.reloaded)))
        if found.stopped:
            rows.append(("not running", ", ".join(found.stopped)))
        if found.new_ca:
            rows.append(("to trust", f"{found.folder / 'ca.crt'} (give it to clients)"))
        for name, value in rows:
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)

    if not profile.tls.enabled and not out:
        say(ctx, f"{profile.name} does not speak TLS yet; write tls: true into its profile")
    show_result(ctx, found, human=human, names=[str(found.folder)])


@app.command("show", cls=Command)
def show(ctx: typer.Context) -> None:
    """Say how long the certificates hold (status 1 within 30 days).

    And what they are, for which hosts, and who has signed them.
    """
    from valkeyctl.ops.tls.hosts import unit_addresses
    from valkeyctl.ops.tls.show import show as look

    profile = target.deployment(ctx)
    # As processes, the servers of a topology are on loopback and on no bridge.
    addresses = () if profile.runtime == "process" else unit_addresses(profile)
    found = look(profile, target.state(ctx), addresses=addresses)

    def human(console: Console) -> None:
        for name, value in _rows(found):
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)

    status = "warn" if found.good and found.warnings else "ok" if found.good else "fail"
    data = {**asdict(found), "good": found.good}
    show_result(ctx, data, human=human, status=status, names=[str(found.cert_file)])  # type: ignore[arg-type]  # all three words are statuses
    raise typer.Exit(0 if found.good else 1)


def _rows(found: TlsReport) -> list[tuple[str, str]]:
    source = "given by the profile" if found.given else "made by valkeyctl tls init"
    rows = [
        ("deployment", found.name if found.enabled else f"{found.name} (TLS is off)"),
        ("certificate", f"{found.cert_file} ({source})"),
        ("subject", found.subject),
        ("hosts", ", ".join(found.hosts) or "none"),
        ("until", f"{found.not_after[:10]}, {found.days_left:.0f} days left"),
        ("sha256", found.fingerprint),
        ("chain", " <- ".join(found.chain)),
        ("CA", f"{found.ca_file}, until {found.ca_not_after[:10]}"),
        ("CA sha256", found.ca_fingerprint),
    ]
    if found.problem:
        rows.append(("problem", found.problem))
    return rows + [("warning", warning) for warning in found.warnings]
