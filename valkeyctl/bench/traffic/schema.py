"""The JSON Schema of a scenario, by which an editor completes and checks its fields."""

from __future__ import annotations

from typing import get_args

from valkeyctl.bench.arm import Node
from valkeyctl.bench.traffic import fields
from valkeyctl.bench.traffic.scenario import Application, Arrivals, Fault

_TEXT: Node = {"type": "string", "minLength": 1}
_SCALAR: Node = {"type": ["string", "number", "boolean"]}
_PAIRS: Node = {"type": ["object", "null"], "additionalProperties": _SCALAR}


def scenario_schema() -> dict[str, Node]:
    """Return the JSON Schema, draft 2020-12, of a scenario's YAML file.

    What it lets through may still be refused: placeholders are checked when a file is read.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "valkeyctl bench scenario",
        **_object(
            {
                "name": _said(_TEXT, "What the report calls it"),
                "about": _said(_TEXT, "One line for a person"),
                "application": _choice(
                    get_args(Application), "What is started where no --target is given"
                ),
                "requests": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 256,
                    "items": _request(),
                },
                "keys": _keys(),
                "sizes": {
                    "type": ["object", "null"],
                    "description": "Numbers drawn once for each key, usable as placeholders",
                    "additionalProperties": {"anyOf": [_size(1), _sizes()]},
                },
                "load": _load(),
                "arms": {"type": ["array", "null"], "items": _arm()},
                "server": _said(_PAIRS, "Settings of a throwaway server of the run's own"),
                "env": _said(_PAIRS, "Variables of the application that is started"),
                "during": _during(),
            },
            fields.TOP_NEEDED,
            optional=fields.TOP,
        ),
    }


def _request() -> Node:
    return _object(
        {
            "name": _said(_TEXT, "What the report calls it"),
            "method": _said({"type": "string", "pattern": "^[A-Za-z]{1,20}$"}, "HTTP method"),
            "path": {"type": "string", "pattern": "^/"},
            "weight": _number(0, 1e6, "How often, in proportion to the others"),
            "headers": _PAIRS,
            "body": {"description": "Text, or any structure, which becomes JSON"},
            "expect": _expect(),
        },
        ("name",),
        optional=fields.REQUEST,
    )


def _expect() -> Node:
    status: dict[str, Node] = {"type": "integer", "minimum": 100, "maximum": 599}
    return _object(
        {
            "status": {"anyOf": [status, {"type": "array", "items": status}]},
            "contains": _said({"type": "string"}, "Text that the body holds"),
            "json": _said({"type": "object"}, "Dotted path in a JSON body: the value there"),
            "matches": _said({"type": "string"}, "Regular expression found in the body"),
            "min_bytes": _size(0),
            "max_bytes": _size(0),
            "same_for_key": _said(
                {"type": "boolean"}, "Every answer for a key equals the first, byte for byte"
            ),
        },
        optional=fields.EXPECT,
    )


def _keys() -> Node:
    drawn = _object(
        {
            "count": {"type": "integer", "minimum": 1, "maximum": fields.MOST_KEYS},
            "popularity": {"enum": ["zipf", "uniform", "hot-set"]},
            "exponent": _number(0, 10, "Of Zipf's law"),
            "hot_keys": _number(0, 1, "Share of the keys that are hot"),
            "hot_requests": _number(0, 1, "Share of the requests that they get"),
            "once": _number(0, 1, "Share of the requests for a key nobody asks for again"),
        },
        ("count",),
    )
    recorded = _object(
        {"popularity": {"const": "trace"}, "trace": _said(_TEXT, "File of recorded keys")},
        ("popularity", "trace"),
    )
    return {"anyOf": [drawn, recorded]}


def _sizes() -> Node:
    return _object(
        {
            "median": _size(1),
            "sigma": _number(0, 5, "Standard deviation of the logarithm"),
            "most": _size(1),
        },
        ("median",),
    )


def _load() -> Node:
    rate = {**_number(0.001, 1e6, "Arrivals per second; without it a closed loop")}
    return _object(
        {
            "users": {"type": ["integer", "null"], "minimum": 1, "maximum": 10_000},
            "rate": {**rate, "type": ["number", "null"]},
            "arrivals": _choice(get_args(Arrivals), "How the arrivals of rate are spaced"),
            "block": {
                "type": ["number", "string", "null"],
                "description": "Least time that an arm is played without a break, such as 2s",
            },
            "speedup": _number(0.001, 1e6, "Of simulated times"),
        },
        optional=fields.LOAD,
    )


def _arm() -> Node:
    return _object(
        {
            "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$"},
            "headers": _said(_PAIRS, "Sent with every request of this arm"),
            "env": _said(_PAIRS, "Variables of the application that serves this arm"),
            "server": _said(_PAIRS, "Settings of a throwaway server for this arm"),
            "url": {"type": ["string", "null"], "pattern": "^https?://"},
        },
        ("name",),
        optional=fields.ARM,
    )


def _during() -> Node:
    return {
        **_object(
            {
                "kind": _choice(get_args(Fault), "Name of a drill"),
                "at": _number(0, 1, "Share of each arm's block of the middle round"),
            },
            ("kind",),
        ),
        "type": ["object", "null"],
    }


def _object(
    properties: dict[str, Node], needed: tuple[str, ...] = (), *, optional: tuple[str, ...] = ()
) -> dict[str, Node]:
    missing = {*needed, *optional} - properties.keys()
    if missing:
        raise AssertionError(f"the schema leaves out {', '.join(sorted(missing))}")
    return {
        "type": "object" if needed else ["object", "null"],
        "additionalProperties": False,
        "required": list(needed),
        "properties": properties,
    }


def _said(node: Node, description: str) -> Node:
    if not isinstance(node, dict):
        raise AssertionError("only an object of the schema can be described")
    return {**node, "description": description}


def _choice(names: tuple[str, ...], description: str) -> dict[str, Node]:
    return {"enum": list(names), "description": description}


def _number(least: float, most: float, description: str) -> dict[str, Node]:
    return {
        "type": ["number", "null"],
        "minimum": least,
        "maximum": most,
        "description": description,
    }


def _size(least: int) -> Node:
    return {
        "anyOf": [
            {"type": "integer", "minimum": least},
            {"type": "string", "description": "Such as 4KiB or 64kb"},
            {"type": "null"},
        ]
    }
