"""``valkeyctl gateway``: the web service between LLM clients and providers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration

app = new_app("Serve LLM clients from the cache.")


class LogLevel(StrEnum):
    """Least severe line that the gateway writes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command(cls=Command)
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port.")] = 8080,
    upstream: Annotated[
        str, typer.Option("--upstream", help="Provider's URL, or simulated.")
    ] = "simulated",
    state_url: Annotated[
        str | None, typer.Option("--state-url", help="Server for state; default: --url.")
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", help="Life of an answer.")] = "1h",
    cache_budget: Annotated[
        str, typer.Option("--cache-budget", help="Longest that a cache read may take.")
    ] = "25ms",
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated LLM.")] = 1,
    speedup: Annotated[
        float, typer.Option("--speedup", min=0.001, help="Divides the simulated LLM's times.")
    ] = 1.0,
    parent: Annotated[
        int | None, typer.Option("--parent", hidden=True, help="Stop when this process is gone.")
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level")] = LogLevel.INFO,
) -> None:
    """Serve LLM clients: identical questions are answered once.

    The provider's key is read from VALKEYCTL_UPSTREAM_API_KEY, never from an argument.
    """
    from valkeyctl.endpoint import Endpoint
    from valkeyctl.gateway.serve import serve as run
    from valkeyctl.gateway.settings import GatewaySettings

    cache = target.endpoint(ctx, "app")
    try:
        budget = parse_duration(cache_budget)
        life = parse_duration(ttl)
    except ValueError as error:
        raise UsageError(str(error)) from error
    run(
        GatewaySettings(
            host=host,
            port=port,
            cache=cache,
            state=target.trusting(ctx, Endpoint.parse(state_url)) if state_url else None,
            app=target.app_name(ctx),
            upstream=upstream,
            response_ttl=life,
            cache_budget=budget,
            seed=seed,
            speedup=speedup,
            parent=parent,
            log_level=log_level.value,
        )
    )
