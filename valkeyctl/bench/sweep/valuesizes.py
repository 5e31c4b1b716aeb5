"""How many bytes an application stores for each key that a scenario asks for.

A run draws the length of every answer from the scenario's ``sizes``, by key and seed. The
same draws are made here, so that a curve has the very entries that a run would store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from valkeyctl.bench.traffic.making import drawn_size
from valkeyctl.bench.traffic.scenario import RequestTemplate, Scenario

# What a stored answer is taken to weigh: its text, and the JSON around it.
TOKEN_BYTES = 4
ENVELOPE_BYTES = 400
DEFAULT_VALUE_BYTES = 1024
# A key of the response cache: application, namespace and 64 hexadecimal digits.
RESPONSE_KEY_BYTES = 82
# Of the sample application under bench: bench-1a2b3c4d-1:items: before the number.
_SAMPLE_KEY_PREFIX = 23
# What the sample application makes of a request that names no size.
_SAMPLE_BYTES = 1024
_SAMPLE_QUERY = re.compile(r"[?&]bytes=(?:\{(?P<name>[a-z][a-z0-9_]*)\}|(?P<bytes>[0-9]+))")
_OUTPUT_TOKENS, _SIZE = "output_tokens", "size"

Known: TypeAlias = Mapping[str, int]
# From a key, and what a trace says of it, to bytes.
Rule: TypeAlias = Callable[[str, Known], int]


@dataclass(frozen=True)
class ValueSizes:
    """What the entries of a scenario are.

    Attributes:
        rules: From a key to the bytes of its value; one for each kind of request.
        key_bytes: How long the keys are on the server, about.
        assumed: What nobody said, in words; empty where the bytes are the run's own.
    """

    rules: tuple[Rule, ...]
    key_bytes: int
    assumed: str


def value_sizes(scenario: Scenario, seed: int) -> ValueSizes:
    """Return what a run of *scenario* with *seed* stores for its keys."""
    found = [_rule(scenario, one, seed) for one in scenario.requests]
    digits = len(str(max(1, scenario.keys.count) - 1))
    sample = scenario.application == "sample"
    return ValueSizes(
        tuple(rule for rule, _ in found),
        _SAMPLE_KEY_PREFIX + digits if sample else RESPONSE_KEY_BYTES,
        "; ".join(dict.fromkeys(assumed for _, assumed in found if assumed)),
    )


def of_tokens(tokens: int, what: str) -> tuple[int, str]:
    """Return the bytes of a text of so many tokens, and how they were assumed."""
    return (
        ENVELOPE_BYTES + TOKEN_BYTES * tokens,
        f"each {what} takes {TOKEN_BYTES} bytes a token and {ENVELOPE_BYTES} around them",
    )


def unknown_size() -> tuple[int, str]:
    """Return the bytes that are taken where nothing says any, and that in words."""
    return DEFAULT_VALUE_BYTES, f"each value takes {DEFAULT_VALUE_BYTES} bytes"


def _rule(scenario: Scenario, request: RequestTemplate, seed: int) -> tuple[Rule, str]:
    """Return the rule of one kind of request, and what it assumes."""

    def drawn(name: str) -> Rule:
        return lambda key, known: (
            known[name] if name in known else drawn_size(scenario.sizes[name], name, seed, key)
        )

    if scenario.application == "sample":
        return _of_sample(request, drawn), ""
    if _OUTPUT_TOKENS in scenario.sizes:
        tokens = drawn(_OUTPUT_TOKENS)
        assumed = of_tokens(0, "answer")[1]
        return lambda key, known: of_tokens(tokens(key, known), "answer")[0], assumed
    in_bytes = [name for name in scenario.sizes if not name.endswith("_tokens")]
    if _SIZE in in_bytes or len(in_bytes) == 1:
        name = _SIZE if _SIZE in in_bytes else in_bytes[0]
        return drawn(name), f"each value takes as many bytes as the scenario's {name} says"
    usual, assumed = unknown_size()
    return lambda _key, known: known.get(_SIZE, usual), assumed


def _of_sample(request: RequestTemplate, drawn: Callable[[str], Rule]) -> Rule:
    """Return the bytes of the sample application's items, to the byte."""
    asked = _SAMPLE_QUERY.search(request.path)
    if asked is not None and asked["name"]:
        size = drawn(asked["name"])
    else:
        fixed = int(asked["bytes"]) if asked is not None else _SAMPLE_BYTES

        def size(key: str, known: Known) -> int:
            del key, known
            return fixed

    def item(key: str, known: Known) -> int:
        value = size(key, known)
        return len(f'{{"key": "{key}", "bytes": {value}, "value": ""}}') + value

    return item
