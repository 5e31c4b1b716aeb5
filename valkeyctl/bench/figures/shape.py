"""The shape of a report as JSON, written down once.

`schema` is what is published; mypy holds `document` to the same shape.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from valkeyctl.bench.arm import Node
from valkeyctl.bench.figures.conclusion import Kind
from valkeyctl.bench.figures.outcomes import Outcome
from valkeyctl.bench.statistics.intervals import Verdict

SCHEMA_FILE = "docs/reference/bench-report.schema.json"

Number = Annotated[float | None, Field(description="None where the samples support none.")]
Bounds = Annotated[
    list[float],
    Field(min_length=2, max_length=2, description="Lower and upper bound of a 95 % interval."),
]
Ratio = Annotated[float | None, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Told = Annotated[int | None, Field(ge=0, description="None where the target does not say.")]


class SpreadDocument(TypedDict):
    """A distribution in milliseconds; without a right answer n is 0 and the rest null."""

    n: Count
    mean: Number
    p50: Number
    p90: Number
    p95: Number
    p99: Number
    p999: Number
    max: Number


class ShareDocument(TypedDict):
    """A share from 0 to 1, with the interval that its rounds support."""

    value: float
    ci95: Bounds | None


class OutcomeDocument(TypedDict):
    """Times of the answers that came about in one way."""

    outcome: Outcome
    latency_ms: SpreadDocument
    ttft_ms: SpreadDocument | None


class KindDocument(TypedDict):
    """One kind of request of the scenario."""

    name: str
    requests: Count
    errors: Count
    hits: Told
    misses: Told
    collapsed: Told
    stale: Told
    bypassed: Told
    hit_ratio: Ratio
    latency_ms: SpreadDocument
    ttft_ms: SpreadDocument | None


class TokensDocument(TypedDict):
    """Tokens of the right answers, as they tell; 0 where they do not."""

    input: Count
    output: Count
    output_per_s: float


class PricesDocument(TypedDict):
    """What a million tokens cost."""

    input: float
    output: float
    currency: str


class SavingsDocument(TypedDict):
    """What an arm saves against the baseline."""

    origin_calls: Annotated[
        int | None,
        Field(
            description="Calls that as many requests of the baseline made, and this arm did not."
        ),
    ]
    origin_share: ShareDocument | None
    tokens: Told
    tokens_share: ShareDocument | None
    money: Annotated[float | None, Field(description="In the currency of the prices.")]
    money_ci95: Bounds | None
    money_share: ShareDocument | None
    prices: PricesDocument | None
    break_even_hit_ratio: Ratio


class ColdStartDocument(TypedDict):
    """What an arm did before its steady state, from an empty cache."""

    rounds: Count
    duration_s: float
    requests: Count
    errors: Count
    hits: Told
    misses: Told
    collapsed: Told
    stale: Told
    hit_ratio: Ratio
    origin_calls: Told
    latency_ms: SpreadDocument


class MomentDocument(TypedDict):
    """A stretch of an arm's rounds, for the plots over time."""

    at_s: Annotated[float, Field(description="Its middle, after the first round began.")]
    p50_ms: Number
    p99_ms: Number
    throughput_rps: float
    hit_ratio: Ratio
    errors: Count


class GeneratorDocument(TypedDict):
    """How the load generator did in an arm."""

    offered_rps: float
    utilisation: Number
    asked_rps: Annotated[float | None, Field(description="Of its schedule; null without one.")]
    held_rps: Annotated[float | None, Field(description="Highest rate that it could have held.")]
    on_time_ms: Annotated[
        SpreadDocument | None,
        Field(description="Latencies from when requests left; null without a schedule."),
    ]


class ArmDocument(TypedDict):
    """One arm's figures, over the steady rounds that every arm finished."""

    name: str
    requests: Count
    errors: Count
    first_error: str | None
    hits: Told
    misses: Told
    collapsed: Told
    stale: Told
    bypassed: Told
    hit_ratio: Ratio
    origin_calls: Told
    throughput_rps: float
    bytes: Count
    latency_ms: SpreadDocument
    ttft_ms: SpreadDocument | None
    inter_token_ms: SpreadDocument | None
    tokens: TokensDocument
    by_outcome: list[OutcomeDocument]
    by_request: list[KindDocument]
    savings: SavingsDocument | None
    cold_start: ColdStartDocument | None
    generator: GeneratorDocument
    client_lateness_p99_ms: Number
    held_back: Count
    round_medians_ms: list[float | None]
    over_time: list[MomentDocument]
    ci95: Annotated[
        dict[str, Bounds | None], Field(description="Interval of each metric of this arm.")
    ]


class ComparisonDocument(TypedDict):
    """One metric of one arm against the baseline; a ratio above 1 is better."""

    baseline: str
    candidate: str
    metric: str
    ratio: float
    ci95: Bounds | None
    verdict: Verdict
    detectable: Annotated[
        float | None,
        Field(description="Change that nine of ten such runs would have shown; 0.03 is 3 %."),
    ]
    words: str
    blocks: Annotated[Count, Field(description="Blocks of rounds that the interval rests on.")]


class FloorDocument(TypedDict):
    """One metric of an arm that was played twice under two names: the noise."""

    first: str
    second: str
    metric: str
    ratio: float
    ci95: Bounds | None


class SentenceDocument(TypedDict):
    """One sentence of the conclusion."""

    kind: Kind
    text: str


class SteadyDocument(TypedDict):
    """Where the steady state begins."""

    found: bool
    cold_rounds: list[int]
    rounds: Annotated[list[int], Field(description="That all figures are of.")]
    how: str


@with_config({"extra": "allow"})
class ReportDocument(TypedDict):
    """What `valkeyctl bench` found: `report.json`, and `data` of its JSON envelope."""

    scenario: str
    load_model: Literal["open", "closed"]
    incomplete: bool
    incomplete_reason: str | None
    refused: Annotated[
        str | None, Field(description="Why the figures are the load generator's own.")
    ]
    report_html: str
    report_json: str
    report_markdown: str
    headline: Annotated[
        str | None, Field(description="What is bought; null where nothing may be claimed.")
    ]
    conclusion: list[SentenceDocument]
    arms: list[ArmDocument]
    comparisons: list[ComparisonDocument]
    noise_floor: list[FloorDocument]
    steady_state: SteadyDocument
    rounds: Annotated[int, Field(description="That all figures are of.")]
    samples: Annotated[int, Field(description="Recorded, warm-up included.")]
    seed: int
    plan: Annotated[dict[str, object], Field(description="What was asked for, secrets masked.")]
    traffic: Annotated[dict[str, object], Field(description="Known of the stream beforehand.")]


def schema() -> dict[str, Node]:
    """Return the JSON Schema of a report, as it is published."""
    found: dict[str, Node] = TypeAdapter(ReportDocument).json_schema()
    found["title"] = "valkeyctl bench report"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
