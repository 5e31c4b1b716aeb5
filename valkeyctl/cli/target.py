"""Which profile, server, state folder and application a command works with.

A flag wins over the environment, and the environment over the profile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli.options import options
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.caching import NamespacePolicy
    from valkeyctl.ops.statefolder import StateFolder
    from valkeyctl.profile import Profile
    from valkeyctl.profile.schema import BenchDefaults

DEFAULT_PROFILE = "default"
_READ_URL = "valkeyctl.url"  # of standard input, which can be read once


def profile_name(ctx: typer.Context) -> str:
    """Return the profile that the user named, or the default one."""
    said = options(ctx).profile
    if said == "":
        raise UsageError(
            "--profile is empty", hint="Name a profile, or leave the option out for the default"
        )
    return said or os.environ.get("VALKEYCTL_PROFILE") or DEFAULT_PROFILE


def profile(ctx: typer.Context) -> Profile:
    """Return the checked profile to work with."""
    from valkeyctl.profile import load  # pydantic costs 80 ms

    return load(profile_name(ctx))


def deployment(ctx: typer.Context) -> Profile:
    """Return the profile whose deployment a command works on.

    Raises:
        UsageError: A URL was given instead: a server that is merely reached is no
            deployment of ours, and the default one must not be taken for it.
    """
    said = options(ctx)
    if said.url and not said.profile:
        raise UsageError(
            "--url names a server, but this command works on a deployment",
            hint="Name its profile with -p",
        )
    return profile(ctx)


def state(ctx: typer.Context) -> StateFolder:
    """Return the folder that our own files live in."""
    from valkeyctl.ops.statefolder import StateFolder  # only where used

    said = options(ctx).state_dir
    return StateFolder(said) if said else StateFolder.default(os.environ)


def resume_folder(ctx: typer.Context) -> Path:
    """Return the folder of the files by which long key operations go on; it may not exist."""
    from valkeyctl.ops.stateroot import default_root  # `StateFolder` would cost 100 ms

    return (options(ctx).state_dir or default_root(os.environ)).absolute() / "resume"


def given_url(ctx: typer.Context) -> str | None:
    """Return the server's URL as the user gave it; a profile given by flag wins over variables.

    ``-`` is a line of standard input: other users see arguments, and this user's other
    processes see variables.
    """
    said = options(ctx)
    if said.url == "-":
        if _READ_URL not in ctx.meta:
            ctx.meta[_READ_URL] = sys.stdin.readline().strip()
        return str(ctx.meta[_READ_URL])
    if said.url == "":
        raise UsageError("--url is empty", hint="Write it as redis://host:port/db")
    if said.url:
        return said.url
    if said.profile:
        return None
    return os.environ.get("VALKEYCTL_URL") or os.environ.get("CACHE_URL") or None


def endpoint(ctx: typer.Context, user: str = "admin") -> Endpoint:
    """Return the server to work with: the URL given, else where the profile publishes.

    Args:
        ctx: The command's context.
        user: As whom to log in to a deployment that has users; a URL says it itself.

    Raises:
        UsageError: The URL is none.
        MissingError: The deployment has users, and their passwords are not here.
    """
    url = given_url(ctx)
    if url:
        return trusting(ctx, Endpoint.parse(url))
    chosen = profile(ctx)
    if plain(chosen):
        return Endpoint(host=chosen.host, port=chosen.port)
    from valkeyctl.ops.access import access

    return access(chosen, state(ctx), user)


def plain(profile: Profile) -> bool:
    """Say whether its address is all that a client needs to know; looking further costs 50 ms."""
    one = profile.topology == "standalone"
    return one and not profile.auth.enabled and not profile.tls.enabled


def trusting(ctx: typer.Context, endpoint: Endpoint) -> Endpoint:
    """Return *endpoint*, which a URL has named, with the certificates that the user gave.

    Raises:
        UsageError: Certificates for a server that is asked in plain text, or half of a pair.
    """
    said = options(ctx)
    if not endpoint.tls:
        if said.cacert or said.client_cert or said.client_key:
            raise UsageError(
                "certificates are for TLS, and the URL asks for plain text",
                hint="Write the URL with rediss://",
            )
        return endpoint

    def file(given: Path | None, variable: str) -> Path | None:
        named = os.environ.get(variable)
        return given or (Path(named) if named else None)

    return replace(
        endpoint,
        ca_file=file(said.cacert, "VALKEYCTL_CACERT"),
        cert_file=file(said.client_cert, "VALKEYCTL_CLIENT_CERT"),
        key_file=file(said.client_key, "VALKEYCTL_CLIENT_KEY"),
    )


def app_name(ctx: typer.Context) -> str:
    """Return the first part of every key: ``--app``, else the profile's."""
    said = options(ctx).app
    return said or profile(ctx).app


def app_filter(ctx: typer.Context) -> str | None:
    """Return the application to look at, or None for every one: the user named none."""
    said = options(ctx)
    if said.app or said.profile or (not given_url(ctx)):
        return app_name(ctx)
    return None


def learn(ctx: typer.Context, app: str | None, names: Iterable[str]) -> None:
    """Keep the namespaces that were seen, for shell completion; see `namespaces.remember`."""
    from valkeyctl.cli.namespaces import Selected, remember

    said = options(ctx)
    folder = str(said.state_dir) if said.state_dir else None
    remember(Selected(said.url, said.profile, said.app, folder), app, names, os.environ)


def policies(profile: Profile) -> dict[str, NamespacePolicy]:
    """Return how long the entries of each namespace live, by the profile."""
    from valkeyctl.caching import NamespacePolicy

    return {
        name: NamespacePolicy(ttl=policy.ttl, jitter=policy.jitter)
        for name, policy in profile.namespaces.items()
    }


def bench_defaults(ctx: typer.Context) -> BenchDefaults:
    """Return the profile's defaults for a load run; the schema's where a URL was given."""
    from valkeyctl.profile.schema import BenchDefaults

    return BenchDefaults() if given_url(ctx) else profile(ctx).bench


def forgetter(endpoint: Endpoint) -> Callable[[str], None]:
    """Return what removes the answers that a load run stored under its own application."""

    def forget(app: str) -> None:
        from valkeyctl.ops.keyspace.removal.flush import flush
        from valkeyctl.ops.keyspace.removal.selection import Selection

        flush(endpoint, Selection(app, namespace="response"))

    return forget


def new_report(ctx: typer.Context, name: str) -> Path:
    """Return a folder for the report of a run called *name*; it is not made yet."""
    began = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return state(ctx).root / "reports" / f"{began}-{name}-{os.getpid()}"
