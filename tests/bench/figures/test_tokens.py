"""Tokens, and the time between them."""

from __future__ import annotations

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.tokens import tokens
from valkeyctl.bench.plan import Plan


def test_the_time_between_tokens_is_that_after_the_first() -> None:
    """Eleven pieces from the first at 10 ms to the end at 30 ms: ten gaps of 2 ms."""
    rows = made_up(Plan.of(rounds=6), [[[30.0] * 10] * 6, [[30.0] * 10] * 6]).rows
    rows["first"] = rows["intended"] + 0.010
    rows["events"] = 11
    rows["input"], rows["output"] = 500, 100

    found = tokens(rows, seconds=4.0)

    assert found.inter_token_ms is not None
    assert found.inter_token_ms.p50 == pytest.approx(2.0)
    assert (found.input, found.output) == (60_000, 12_000)
    assert found.output_per_s == 3000.0


def test_an_answer_in_one_piece_has_no_gap() -> None:
    """Nor has one that does not stream."""
    rows = made_up(Plan.of(rounds=6), [[[30.0] * 10] * 6, [[30.0] * 10] * 6]).rows
    assert tokens(rows, 1.0).inter_token_ms is None

    rows["first"] = rows["intended"] + 0.010
    rows["events"] = 1

    assert tokens(rows, 1.0).inter_token_ms is None
