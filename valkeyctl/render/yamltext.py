"""YAML as people write it: sorted keys, whole texts as blocks, two blanks deep."""

from __future__ import annotations

from collections.abc import Mapping

import yaml


class _Dumper(yaml.SafeDumper):
    """SafeDumper without aliases, with list items indented below their key."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the base class's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Readers differ in what is a number or a switch (1e3, 0o7, y): a hash of digits and one
    # e is a number to podman. Text that does not begin with a letter or / is always in quotes.
    plain = (text[:1].isalpha() or text[:1] == "/") and text.lower() not in {"y", "n"}
    style = "|" if "\n" in text else None if plain else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(document: Mapping[str, object]) -> str:
    """Return *document* as YAML; the same document always gives the same text."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=True, width=100, default_flow_style=False)
