"""YAML 1.2 as people mean it, from texts that nobody vouches for."""

from __future__ import annotations

import re
from typing import ClassVar

import yaml
from yaml.composer import ComposerError


class PlainLoader(yaml.SafeLoader):
    """SafeLoader in which off, 1:30 and 2026-01-01 are texts; it takes no tags.

    Attributes:
        most_levels: What is nested deeper is refused, with a MarkedYAMLError.
    """

    most_levels: ClassVar[int] = 32
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node, unless it has a tag or lies too deep."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # absent from the stubs
        if getattr(event, "tag", None) not in {None, "!"}:
            text = "tags such as !!int or !env are not understood"
            raise ComposerError(None, None, text, event.start_mark)
        if self.depth >= self.most_levels:
            text = f"this is nested deeper than {self.most_levels} levels"
            raise ComposerError(None, None, text, event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


# YAML 1.1 reads `publish: 6379:6379` as a base-60 number and `X-Cache: off` as false.
_REPLACED = (":int", ":bool", ":timestamp", ":float")
PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith(_REPLACED)]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# 18 digits: Python refuses to read thousands of them, and no field wants as many.
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$"), list("-+0123456789")
)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18})(?:e[-+]?[0-9]{1,2})?$"),
    list("-+.0123456789"),
)
PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
