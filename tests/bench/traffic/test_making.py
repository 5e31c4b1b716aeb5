"""What a request is made of: texts and sizes that belong to its key."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from math import log
from statistics import NormalDist, mean, median, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.making import Maker
from valkeyctl.bench.traffic.scenario import Expectation, RequestTemplate, Sizes


def maker(request: RequestTemplate, *, salt: str = "", **sizes: Sizes) -> Maker:
    """Return what makes requests of one kind."""
    plan = Plan.of()
    scenario = replace(plan.scenario, requests=(request,), sizes=sizes)
    return Maker(replace(plan, scenario=scenario), salt)


BODY = RequestTemplate("a", method="POST", body='{"q": "{prompt}", "n": "{size:number}"}')

MAKER = maker(BODY, size=Sizes(5, 0, 5))


def test_a_prompt_belongs_to_its_key_and_its_run() -> None:
    """Equal for equal keys, and different in another run."""
    size = Sizes(5, 0, 5)
    one, same, salted = (
        maker(BODY, size=size),
        maker(BODY, size=size),
        maker(BODY, salt="x", size=size),
    )

    assert one.make(0, "1") == same.make(0, "1")
    bodies = {made.make(0, key).body for made in (one, salted) for key in ("1", "2", "3")}
    assert len(bodies) == 6
    assert all(len(json.loads(body)["q"].split()) >= 40 for body in bodies)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_body_of_json_stays_json_for_every_key(key: str) -> None:
    """As the keys of a trace may be anything."""
    made = MAKER.make(0, key)

    document = json.loads(made.body)
    assert document["n"] == 5
    assert f"Question {key} of" in document["q"]


def test_sizes_are_log_normal_and_cut_at_both_ends() -> None:
    """Their median and spread are those asked for; a key has one size for ever."""
    made = maker(RequestTemplate("a"), size=Sizes(1000, 0.8, 10**9), cut=Sizes(2, 5, 4))

    drawn = [made.size("size", str(key)) for key in range(20_000)]
    logs = [log(size) for size in drawn]

    assert drawn[7] == made.size("size", "7")
    assert median(drawn) == pytest.approx(1000, rel=0.03)
    assert stdev(logs) == pytest.approx(0.8, rel=0.02)
    # Within one standard deviation of the middle lie as many as a normal distribution has.
    inside = mean(abs(one - log(1000)) < 0.8 for one in logs)
    assert inside == pytest.approx(2 * NormalDist().cdf(1) - 1, abs=0.015)
    cut = {made.size("cut", str(key)) for key in range(2000)}
    assert (min(cut), max(cut)) == (1, 4)


def test_a_size_of_the_trace_wins_over_a_drawn_one() -> None:
    """What was recorded is not made up."""
    request = RequestTemplate("a", path="/{size}/{other}")
    made = maker(request, size=Sizes(5, 0, 5), other=Sizes(6, 0, 6))

    assert made.make(0, "1", {"size": 77}).path == "/77/6"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 65_536])
def test_a_filler_has_its_size_and_cannot_be_packed(size: int) -> None:
    """Letters that go everywhere, other ones for every key."""
    request = RequestTemplate("a", method="PUT", body=f"{{text:{size}}}")
    made = maker(request)

    one, again, other = (made.make(0, key).body for key in ("1", "1", "2"))

    assert len(one) == size
    assert one == again
    assert size < 3 or one != other
    assert one.replace(b"-", b"").replace(b"_", b"").isalnum() or size < 3
    # Four letters hold three bytes, and no more can be won than that.
    assert len(zlib.compress(one, 9)) >= 0.74 * size


def test_a_fresh_key_is_the_runs_own() -> None:
    """Fit for a path, whatever the salt holds; without a salt it is the key."""
    request = RequestTemplate("a", path="/{fresh_key}")

    plain = maker(request).make(0, "5").path
    salted = maker(request, salt="warm-up 4f arm/ä").make(0, "5").path

    assert plain == "/5"
    assert salted.startswith("/5-")
    assert salted[3:].isalnum()


def test_what_is_expected_is_filled_in_and_named_by_its_template() -> None:
    """So that the same fault has the same words for every key."""
    expect = Expectation(
        contains="item {key}", json=(("k", '"{key}"'), ("n", '"{size:number}"')), max_bytes=9
    )
    made = maker(RequestTemplate("a", expect=expect), size=Sizes(5, 0, 5)).make(0, 'x"y')

    assert made.expect.contains == 'item x"y'
    assert made.expect.said == "item {key}"
    assert [json.loads(value) for _, value in made.expect.json] == ['x"y', 5]
    assert made.expect.max_bytes == 9


def test_an_expectation_without_placeholders_is_one_object() -> None:
    """A million requests need no million of them."""
    made = maker(RequestTemplate("a", expect=Expectation(contains="ok")))

    assert made.make(0, "1").expect is made.make(0, "2").expect
