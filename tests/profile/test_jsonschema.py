"""The JSON Schema takes what the loader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest
import yaml

from valkeyctl.profile import json_schema
from valkeyctl.profile.jsonschema import DIALECT
from valkeyctl.render.starter import starter

Schema = dict[str, object]
SHIPPED = sorted((Path(__file__).parents[2] / "profiles").glob("*.yaml"))
_TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}
_KNOWN = {
    *("$defs", "$id", "$ref", "$schema", "default", "description", "examples", "title", "format"),
    *("additionalProperties", "anyOf", "const", "enum", "items", "maximum", "minimum", "pattern"),
    *("patternProperties", "properties", "required", "type"),
    # Not judged here:
    *("exclusiveMinimum", "maxLength", "minItems", "minLength", "writeOnly"),
}


def accepts(value: object, schema: Schema | bool, root: Schema) -> bool:
    """Say whether *schema* takes *value*: the keywords of draft 2020-12 that we use."""
    if isinstance(schema, bool):
        return schema
    assert schema.keys() <= _KNOWN, schema.keys() - _KNOWN
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if not accepts(value, cast("dict[str, Schema]", root["$defs"])[name], root):
            return False
    if "anyOf" in schema and not any(
        accepts(value, option, root) for option in cast("list[Schema]", schema["anyOf"])
    ):
        return False
    if "enum" in schema and value not in cast("list[object]", schema["enum"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    kinds = schema.get("type", [])
    if kinds and not any(
        isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
        for kind in ([kinds] if isinstance(kinds, str) else cast("list[str]", kinds))
    ):
        return False
    if isinstance(value, str) and not re.search(str(schema.get("pattern", "")), value):
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        return float(str(least)) <= value <= float(str(most))
    if isinstance(value, list):
        return all(accepts(item, cast("Schema", schema.get("items", {})), root) for item in value)
    if isinstance(value, dict):
        return _accepts_mapping(value, schema, root)
    return True


def _accepts_mapping(value: dict[str, object], schema: Schema, root: Schema) -> bool:
    named = cast("dict[str, Schema]", schema.get("properties", {}))
    patterns = cast("dict[str, Schema]", schema.get("patternProperties", {}))
    others = cast("Schema | bool", schema.get("additionalProperties", True))

    def rule(key: str) -> Schema | bool:
        matching = (rule for pattern, rule in patterns.items() if re.search(pattern, key))
        return named.get(key) or next(matching, others)

    required = set(cast("list[str]", schema.get("required", [])))
    return required <= value.keys() and all(
        accepts(item, rule(key), root) for key, item in value.items()
    )


def test_it_is_a_schema_of_its_own() -> None:
    """It names its dialect and itself, and is plain JSON."""
    schema = json_schema()

    assert schema["$schema"] == DIALECT
    assert schema["$id"] == "urn:valkeyctl:profile:1"
    assert schema["required"] == ["name"]
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    "text",
    [
        *(file.read_text() for file in SHIPPED),
        starter("mycache"),
        "{name: x, extends: ../y.yaml, persistence: rdb+aof, tls: true, publish: 6379}",
        "{name: x, namespaces: {response: {jitter: 0.2}}, memory: {limit: 1024, maxmemory: 64mb}}",
        "{name: x, auth: {enabled: true, password: '${SECRET}'}}",
    ],
)
def test_it_takes_what_the_loader_takes(text: str) -> None:
    """An editor that knows the schema does not mark a good profile."""
    schema = json_schema()

    assert accepts(yaml.safe_load(text), schema, schema)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{name: Bad Name}",
        "{name: x, memroy: {}}",
        "{name: x, memory: {limt: 1}}",
        "{name: x, eviction: lru}",
        "{name: x, persistence: often}",
        "{name: x, tls: maybe}",
        "{name: x, auth: {password: hunter2}}",
        "{name: x, tuning: {io_threads: true}}",
        "{name: x, tuning: {maxclients: 1}}",
        "{name: x, namespaces: {BAD: {ttl: 1}}}",
    ],
)
def test_it_marks_what_the_loader_refuses(text: str) -> None:
    """An editor that knows the schema shows a mistake while it is typed."""
    schema = json_schema()

    assert not accepts(yaml.safe_load(text), schema, schema)
