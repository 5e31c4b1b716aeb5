"""``valkeyctl bench``: latency with and without the cache.

Each verb is a file of this package, imported when the verb runs; the run itself is in
`conduct`. To add a verb: write ``cli/bench/VERB.py`` with ``app = new_app()`` and one
``@app.command(cls=Command)``, and give it its line in `group.VERBS`; then `make docs`.
"""

from __future__ import annotations

import typer

from valkeyctl.cli.bench import options as option
from valkeyctl.cli.bench.conduct import conduct, follow, measure
from valkeyctl.cli.bench.group import BenchGroup, refuse_own_options
from valkeyctl.cli.bench.options import seconds
from valkeyctl.cli.bench.wishes import Wishes

__all__ = ["app", "follow", "measure", "seconds"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback(cls=BenchGroup, invoke_without_command=True)
def bench(
    ctx: typer.Context,
    scenario: option.Scenario = None,
    application: option.Application = None,
    trace: option.Trace = None,
    locustfile: option.Locustfile = None,
    upstream: option.Upstream = "simulated",
    seed: option.Seed = None,
    arm: option.ArmOption = None,
    baseline: option.BaselineOption = None,
    aa: option.Again = False,
    users: option.Users = None,
    rate: option.Rate = None,
    arrivals: option.ArrivalsOption = None,
    speedup: option.Speedup = None,
    max_in_flight: option.MaxInFlight = None,
    timeout: option.Timeout = None,
    deadline: option.Deadline = None,
    duration: option.Duration = None,
    rounds: option.Rounds = None,
    requests: option.Requests = None,
    warmup: option.Warmup = None,
    workers: option.Workers = None,
    master: option.Master = False,
    expect_workers: option.ExpectWorkers = None,
    master_bind_host: option.BindHost = None,
    master_bind_port: option.BindPort = None,
    price_in: option.PriceIn = None,
    price_out: option.PriceOut = None,
    currency: option.Currency = None,
    out: option.Out = None,
    gate: option.GateOption = None,
    junit: option.JUnit = None,
    markdown: option.Markdown = None,
    csv: option.Csv = None,
    dry_run: option.DryRun = False,
    yes: option.Yes = False,
) -> None:
    """Measure latency with and without the cache.

    Plays the same requests in two arms, block by block and in alternating order, and
    says how many times quicker each percentile is, with a 95 % interval. A gate ends
    with status 8 when the interval misses the bound, and 9 when it straddles it or the
    run can say nothing; a run with wrong answers ends with 1.
    """
    if ctx.invoked_subcommand is not None:
        refuse_own_options(ctx, ctx.invoked_subcommand)
        return
    wishes = Wishes(
        scenario=scenario,
        application=application,
        trace=trace,
        locustfile=locustfile,
        upstream=upstream,
        seed=seed,
        arms=tuple(arm or ()),
        baseline=baseline,
        aa=aa,
        users=users,
        rate=rate,
        arrivals=arrivals,
        speedup=speedup,
        max_in_flight=max_in_flight,
        timeout=timeout,
        deadline=deadline,
        duration=duration,
        rounds=rounds,
        requests=requests,
        warmup=warmup,
        workers=workers,
        master=master,
        expect_workers=expect_workers,
        bind_host=master_bind_host,
        bind_port=master_bind_port,
        price_in=price_in,
        price_out=price_out,
        currency=currency,
        out=out,
        gates=tuple(gate or ()),
        junit=junit,
        markdown=markdown,
        csv=csv,
        dry_run=dry_run,
        yes=yes,
    )
    conduct(ctx, wishes)
