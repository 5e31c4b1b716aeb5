"""The names of a scenario's fields, for its reader and for its JSON Schema."""

from __future__ import annotations

MOST_SIZE = 1_000_000_000
MOST_KEYS = 1_000_000_000
TOP_NEEDED = ("requests", "keys")
TOP = ("name", "about", "application", "sizes", "load", "arms", "server", "env", "during")
LOAD = ("users", "rate", "arrivals", "speedup", "block")
KEYS = ("count", "popularity", "exponent", "hot_keys", "hot_requests", "once", "trace")
REQUEST = ("method", "path", "weight", "headers", "body", "expect")
EXPECT = ("status", "contains", "json", "matches", "min_bytes", "max_bytes", "same_for_key")
ARM = ("headers", "env", "server", "url")
