"""What streamed answers and their tokens say: time between tokens, tokens a second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.figures.spread import Spread, spread


@dataclass(frozen=True)
class Tokens:
    """Tokens of an arm's right answers; zero where answers do not say.

    Attributes:
        input: Of the prompts.
        output: Of the answers.
        output_per_s: Of the answers, for each second of the arm's rounds.
        inter_token_ms: Time between two pieces of one answer, an answer's mean each;
            None where answers do not stream, or in one piece.
    """

    input: int
    output: int
    output_per_s: float
    inter_token_ms: Spread | None


def tokens(right: Rows, seconds: float) -> Tokens:
    """Return the tokens of the *right* answers, which took *seconds* together."""
    output = int(right["output"].sum(dtype=np.int64))
    pieces = right[(right["events"] > 1) & ~np.isnan(right["first"])]
    # Of n pieces the first ends no gap, so the rest of the answer holds n - 1.
    gaps = (pieces["end"] - pieces["first"]) / (pieces["events"] - 1.0) * 1000
    return Tokens(
        input=int(right["input"].sum(dtype=np.int64)),
        output=output,
        output_per_s=output / seconds if seconds else 0.0,
        inter_token_ms=spread(np.sort(gaps)),
    )
