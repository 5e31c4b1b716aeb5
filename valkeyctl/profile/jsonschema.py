"""The JSON Schema of a profile's file, for editors and outside checks."""

from __future__ import annotations

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from valkeyctl.profile.schema import SWITCHES, Profile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A name, not an address: nothing has to be fetched to use it.
SCHEMA_ID = "urn:valkeyctl:profile:1"


class _Untitled(GenerateJsonSchema):
    """Without a title for each field that only repeats its name."""

    def field_title_should_be_set(self, schema: core_schema.CoreSchema) -> bool:  # noqa: ARG002
        return False


def json_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of what a profile's file may hold.

    It is wider than the loader where one file alone cannot be judged: a key that is
    missing may come from the profile that the file extends.
    """
    made = Profile.model_json_schema(mode="validation", schema_generator=_Untitled)
    fields, sections = made["properties"], made["$defs"]
    for policy in ("NamespacePolicy", "LimitPolicy"):
        del sections[policy]["required"]
    for switch in SWITCHES:
        fields[switch] = _or(fields[switch], {"type": "boolean"})
    for named in ("namespaces", "limits"):
        # pydantic gives the pattern of the names, and leaves all other names open.
        fields[named]["additionalProperties"] = False
    modes = sections["Persistence"]["properties"]["mode"]["enum"]
    fields["persistence"] = _or(fields["persistence"], {"enum": modes})
    fields["extends"] = {
        "type": "string",
        "minLength": 1,
        "description": "a profile's name, or a path relative to this file; this file wins",
    }
    made.pop("description", None)
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        **made,
        "title": "valkeyctl profile",
        "properties": dict(sorted(fields.items())),
    }


def _or(section: dict[str, object], short: dict[str, object]) -> dict[str, object]:
    """Return the schema of a section that one word may stand for."""
    kept = {key: value for key, value in section.items() if key != "$ref"}
    return {**kept, "anyOf": [{"$ref": section["$ref"]}, short]}
