"""The report as JSON keeps the shape that is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm
from valkeyctl.bench.figures.shape import SCHEMA_FILE, schema
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

ROOT = Path(__file__).parents[3]
PLAN = Plan.of(rounds=6, prices=Prices(3, 15))
FAST, SLOW = [[1.0] * 10] * 6, [[9.0] * 10] * 6
HITS = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]


def streamed() -> Samples:
    samples = made_up(PLAN, [FAST, SLOW], outcomes=HITS)
    samples.rows["first"] = samples.rows["intended"] + 0.0005
    samples.rows["events"], samples.rows["input"], samples.rows["output"] = 5, 50, 10
    return samples


RUNS: dict[str, Callable[[], Samples]] = {
    "plain": lambda: made_up(PLAN, [FAST, SLOW], outcomes=HITS),
    "streamed": streamed,
    "failed": lambda: made_up(PLAN, [FAST, SLOW], failed=lambda arm, _: arm == 0),
    "unknown": lambda: made_up(PLAN, [FAST, SLOW], outcomes=[lambda _: "none"] * 2),
    "alone": lambda: made_up(replace(PLAN, arms=(Arm("a"),)), [FAST]),
    "open": lambda: made_up(Plan.of(rate=50.0, rounds=6), [FAST, SLOW]),
    "twice": lambda: made_up(
        replace(PLAN, arms=(*DEFAULT_ARMS, DEFAULT_ARMS[1].again())),
        [FAST, SLOW, SLOW],
        outcomes=[*HITS, HITS[1]],
    ),
    "cold": lambda: made_up(
        Plan.of(rounds=20),
        [[[9.0 if n < 3 else 1.0 + n % 3 * 0.01] * 20 for n in range(20)], [[9.0] * 20] * 20],
        incomplete=True,
        interrupted="Ctrl-C",
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_reports_are_of_the_published_shape(kind: str) -> None:
    """Whatever the run was like."""
    data = report(RUNS[kind]()).to_json()

    jsonschema.Draft202012Validator(schema()).validate(json.loads(json.dumps(data)))


def test_the_published_schema_is_that_of_the_code() -> None:
    """`make docs` renews it."""
    assert json.loads((ROOT / SCHEMA_FILE).read_text()) == schema()


def test_the_schema_refuses_what_lacks_a_field() -> None:
    """Else it would check nothing."""
    data = report(RUNS["plain"]()).to_json()
    del data["arms"]

    with pytest.raises(jsonschema.ValidationError, match="arms"):
        jsonschema.Draft202012Validator(schema()).validate(data)


def test_every_field_is_in_the_reference() -> None:
    """The page beside the schema explains each of them."""
    page = (ROOT / "docs/reference/bench-report.md").read_text()
    definitions = schema()["$defs"]
    assert isinstance(definitions, dict)

    for part in (schema(), *definitions.values()):
        assert isinstance(part, dict)
        properties = part["properties"]
        assert isinstance(properties, dict)
        for name in properties:
            assert f"`{name}`" in page, name
