"""The options of ``valkeyctl bench``, by what they decide."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration

ASKED, COMPARED = "What is asked", "What is compared"
LOAD, LENGTH = "Load", "Length"
GENERATOR, MONEY, RESULT = "Load generator", "Money", "Result"


class Arrivals(StrEnum):
    """How the arrivals of a rate are spaced."""

    POISSON = "poisson"
    CONSTANT = "constant"


Scenario = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        metavar="NAME|FILE",
        help="What is asked: see bench scenarios; or a YAML file.",
        rich_help_panel=ASKED,
    ),
]
Application = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="URL",
        help="Base URL of your application; the scenario's path is added.",
        rich_help_panel=ASKED,
    ),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace", metavar="FILE", help="Recorded requests to replay.", rich_help_panel=ASKED
    ),
]
Locustfile = Annotated[
    Path | None,
    typer.Option(
        "--locustfile",
        metavar="FILE",
        help="Your own Locust users, instead of a scenario's requests.",
        rich_help_panel=ASKED,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Same seed, same requests.", rich_help_panel=ASKED),
]
Upstream = Annotated[
    str,
    typer.Option(
        "--upstream",
        metavar="URL",
        help="Origin behind the gateway: URL or simulated.",
        rich_help_panel=ASKED,
    ),
]
ArmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arm",
        metavar="NAME=PART",
        help="What is compared: NAME=header:K:V, env:K=V, url:URL or server:K=V; repeat. "
        "Default: cached and uncached.",
        rich_help_panel=COMPARED,
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="ARM",
        help="What the other arms are compared with; by default the one past the cache, or "
        "named uncached.",
        rich_help_panel=COMPARED,
    ),
]
Again = Annotated[
    bool,
    typer.Option(
        "--aa",
        help="Play the baseline a second time: what differs there is noise.",
        rich_help_panel=COMPARED,
    ),
]
Users = Annotated[
    int | None,
    typer.Option("--users", help="Closed loop: users who wait for answers.", rich_help_panel=LOAD),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", help="Open loop: arrivals per second.", rich_help_panel=LOAD),
]
ArrivalsOption = Annotated[
    Arrivals | None,
    typer.Option("--arrivals", help="How the arrivals of --rate are spaced.", rich_help_panel=LOAD),
]
Speedup = Annotated[
    float | None,
    typer.Option(
        "--speedup",
        help="Replay a trace, and simulate the LLM, so many times faster.",
        rich_help_panel=LOAD,
    ),
]
MaxInFlight = Annotated[
    int | None,
    typer.Option(
        "--max-in-flight",
        help="Open loop: most requests on their way at one time; the wait for a place is latency.",
        rich_help_panel=LOAD,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="Silence after which a request is an error, such as 10s.",
        rich_help_panel=LOAD,
    ),
]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        metavar="TIME",
        help="Time after which a request is an error even while its answer comes; 600s if not "
        "given.",
        rich_help_panel=LOAD,
    ),
]
Duration = Annotated[
    str | None,
    typer.Option(
        "--duration",
        metavar="TIME",
        help="Length of the run, such as 30s; a trace is played whole.",
        rich_help_panel=LENGTH,
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option("--rounds", help="Blocks, each played in every arm.", rich_help_panel=LENGTH),
]
Requests = Annotated[
    int | None,
    typer.Option(
        "--requests",
        help="Requests of each arm, instead of --duration.",
        rich_help_panel=LENGTH,
    ),
]
Warmup = Annotated[
    str | None,
    typer.Option(
        "--warmup",
        metavar="TIME",
        help="Load that is thrown away first, such as 2s.",
        rich_help_panel=LENGTH,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes of this machine that send the load; default: 1, with --master 0.",
        rich_help_panel=GENERATOR,
    ),
]
Master = Annotated[
    bool,
    typer.Option(
        "--master",
        help="Wait for workers on other machines: bench worker.",
        rich_help_panel=GENERATOR,
    ),
]
ExpectWorkers = Annotated[
    int | None,
    typer.Option(
        "--expect-workers",
        help="How many of them to wait for; 1 unless given.",
        rich_help_panel=GENERATOR,
    ),
]
BindHost = Annotated[
    str | None,
    typer.Option(
        "--master-bind-host",
        metavar="HOST",
        help="Address that they come to; default: 127.0.0.1.",
        rich_help_panel=GENERATOR,
    ),
]
BindPort = Annotated[
    int | None,
    typer.Option(
        "--master-bind-port",
        metavar="PORT",
        help="Port of it; default: 5557.",
        rich_help_panel=GENERATOR,
    ),
]
PriceIn = Annotated[
    float | None,
    typer.Option(
        "--price-in",
        metavar="PRICE",
        help="Of a million tokens of prompts.",
        rich_help_panel=MONEY,
    ),
]
PriceOut = Annotated[
    float | None,
    typer.Option(
        "--price-out",
        metavar="PRICE",
        help="Of a million tokens of answers.",
        rich_help_panel=MONEY,
    ),
]
Currency = Annotated[
    str | None,
    typer.Option("--currency", help="Of the prices; default: USD.", rich_help_panel=MONEY),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Where samples and report go; default: our own files.",
        rich_help_panel=RESULT,
    ),
]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="EXPR",
        help="Fail unless it holds: 'p99_speedup>=5'; repeat.",
        rich_help_panel=RESULT,
    ),
]
JUnit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write gates and arms as JUnit XML.",
        rich_help_panel=RESULT,
    ),
]
Markdown = Annotated[
    str | None,
    typer.Option(
        "--markdown",
        metavar="FILE|-",
        help="Write the report for a pull request; - is standard output.",
        rich_help_panel=RESULT,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="Write every sample as comma-separated values.",
        rich_help_panel=RESULT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the plan; start and send nothing."),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Do not ask before a fault on a production server."),
]


def seconds(text: str | None, option: str = "--duration") -> float | None:
    """Return a duration given on the command line, in seconds; None where none was.

    Raises:
        UsageError: It is no duration; names *option*.
    """
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint="Write it as 30s, 5m or 1h") from error
