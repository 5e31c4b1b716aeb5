"""The request stream: the same plan, the same bytes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest

from tests.bench.conftest import mooncake
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic import stream, survey, warmup_stream


def test_the_same_seed_gives_the_same_stream() -> None:
    """Another seed gives another one."""
    first, again, other = (list(islice(stream(Plan.of(seed=seed)), 500)) for seed in (7, 7, 8))

    assert first == again
    assert [r.body for r in first] != [r.body for r in other]


def test_the_salt_changes_the_text_and_not_the_order() -> None:
    """A run on a used application asks the same questions in the same order."""
    plan = Plan.of()
    plain, salted = (list(islice(stream(plan, salt=salt), 500)) for salt in ("", "run"))

    assert [r.prompt_id for r in plain] == [r.prompt_id for r in salted]
    assert [r.headers for r in plain] == [r.headers for r in salted]


def test_prompts_follow_zipf() -> None:
    """With exponent 1.1 the first of 1,000 prompts is 2**1.1 times the second."""
    drawn = Counter(r.prompt_id for r in islice(stream(Plan.of()), 100_000))

    assert drawn[0] / drawn[1] == pytest.approx(2**1.1, rel=0.06)
    assert len(drawn) == 1000


def test_equal_prompts_are_equal_bodies_and_headers() -> None:
    """A repeat differs in nothing but its place."""
    seen: dict[int, tuple[object, object]] = {}
    for request in islice(stream(Plan.of()), 3000):
        known = seen.setdefault(request.prompt_id, (request.body, request.headers))

        assert known == (request.body, request.headers)
    assert len({body for body, _ in seen.values()}) == len(seen)


def test_the_salt_and_the_warm_up_share_no_prompt_with_the_stream() -> None:
    """What another run, or the warm-up, has stored answers nothing of this one."""
    plan = Plan.of()
    streams = (
        stream(plan),
        stream(plan, salt="run"),
        warmup_stream(plan),
        warmup_stream(plan, salt="a"),
    )

    bodies = [{r.body for r in islice(one, 2000)} for one in streams]

    for number, one in enumerate(bodies):
        for other in bodies[number + 1 :]:
            assert not one & other


def test_a_trace_gives_identity_by_its_blocks_alone(tmp_path: Path) -> None:
    """Lengths travel in headers, so equal prompts of different recorded length are equal."""
    plan = Plan.of(trace=mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1]), speedup=2.0, rounds=1)

    requests = list(stream(plan))

    assert requests[0].body == requests[2].body == requests[4].body
    assert len({r.body for r in requests}) == 3
    assert [r.prompt_id for r in requests] == [0, 1, 0, 2, 0]
    assert requests[0].headers != requests[2].headers
    assert [r.due for r in requests] == [0.0, 0.005, 0.010, 0.015, 0.020]
    assert json.loads(requests[0].body)["temperature"] == 0


def test_a_trace_without_identity_repeats_nothing(tmp_path: Path) -> None:
    """Rows of the Azure trace may be alike in every field and are still no repeats."""
    path = tmp_path / "azure.csv"
    row = "2023-11-16 18:15:46.6805900,374,44"
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{row}\n{row}\n{row}")
    plan = Plan.of(trace=path, rounds=1)

    requests = list(stream(plan))

    assert len({r.body for r in requests}) == 3
    assert survey(plan).has_identity is False


def test_the_survey_knows_the_truth_of_a_trace(tmp_path: Path) -> None:
    """Requests, different prompts and length are known before the first is sent."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1], gap_ms=1000)

    whole = survey(Plan.of(trace=path, speedup=2.0, rounds=1))
    part = survey(Plan.of(trace=path, speedup=2.0, rounds=1, requests=3))

    assert (whole.requests, whole.distinct, whole.span) == (5, 3, 2.0)
    assert (part.requests, part.distinct, part.span) == (3, 2, 1.0)


@pytest.mark.parametrize(("arrivals", "spread"), [("constant", 0.0), ("poisson", 1.0)])
def test_arrivals_keep_their_rate(arrivals: str, spread: float) -> None:
    """Constant gaps do not vary; Poisson gaps vary as much as they are long."""
    plan = Plan.of(rate=100.0, arrivals=arrivals)  # type: ignore[arg-type]

    dues = [r.due or 0.0 for r in islice(stream(plan), 20_001)]

    gaps = [later - earlier for earlier, later in pairwise(dues)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(0.01, rel=0.03)
    assert deviation / mean == pytest.approx(spread, abs=0.03)
