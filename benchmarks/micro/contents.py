"""The keys and the values that every library gets: made once, always the same."""

from __future__ import annotations

import json
import random
from typing import Final, TypedDict

KEYS: Final = 1000
VALUE_BYTES: Final = 1024
LARGE_BYTES: Final = 16 * 1024
BATCH: Final = 100


class Usage(TypedDict):
    """Tokens of one answer."""

    input: int
    output: int


class Answer(TypedDict):
    """What is cached: about what one keeps of a model's answer."""

    id: int
    model: str
    usage: Usage
    text: str


def answer(number: int, size: int) -> Answer:
    """Return value *number*, which takes *size* bytes as `json.dumps` writes it."""
    value = Answer(id=number, model="m-1", usage=Usage(input=12, output=34), text="")
    value["text"] = _prose(number, size - len(json.dumps(value)))
    return value


def _prose(seed: int, size: int) -> str:
    """Return text that a compressor shrinks to about a third, as it does with prose."""
    text = " ".join(random.Random(seed).choices(_WORDS, k=size // 4 + 1))
    return text[:size].ljust(size, ".")


def _words() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("etaoinshrdlu", k=rng.randint(3, 9))) for _ in range(300)]


_WORDS: Final = _words()

IDS: Final = tuple(f"id-{number:04}" for number in range(KEYS))
"""What the entries are called."""

BATCHES: Final = tuple(list(IDS[at : at + BATCH]) for at in range(0, KEYS, BATCH))
"""The same names in lists of a hundred."""

VALUES: Final = tuple(answer(number, VALUE_BYTES) for number in range(KEYS))
"""What lies under them: 1 KiB of JSON each, no two alike."""


def large_values() -> tuple[Answer, ...]:
    """Return values of 16 KiB for a tenth of the names, for the rows with compression."""
    return tuple(answer(number, LARGE_BYTES) for number in range(BATCH))
