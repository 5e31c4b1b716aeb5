"""The caching library: plain arguments, no YAML, no command line.

Names are loaded on first use, so that `valkeyctl.caching.wire` stays quick to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valkeyctl.caching.cache import CacheService, Lookup
    from valkeyctl.caching.client import ValkeyClient
    from valkeyctl.caching.policy import NamespacePolicy
    from valkeyctl.caching.responses import ResponseCache
    from valkeyctl.caching.stats import CacheStats

__all__ = [
    "CacheService",
    "CacheStats",
    "Lookup",
    "NamespacePolicy",
    "ResponseCache",
    "ValkeyClient",
]

_HOMES = {
    "CacheService": "cache",
    "CacheStats": "stats",
    "Lookup": "cache",
    "NamespacePolicy": "policy",
    "ResponseCache": "responses",
    "ValkeyClient": "client",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
