"""The caching library: plain arguments, no YAML, no command line.

Names are loaded on first use, so that `valkeyctl.caching.wire` stays quick to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valkeyctl.caching.breaker import Breaker
    from valkeyctl.caching.cache import CacheService
    from valkeyctl.caching.calls import Cached, cached
    from valkeyctl.caching.client import ValkeyClient
    from valkeyctl.caching.course import Warmed
    from valkeyctl.caching.heat import HotId
    from valkeyctl.caching.keyring import KeyRing
    from valkeyctl.caching.messages import Message
    from valkeyctl.caching.observer import Observer
    from valkeyctl.caching.pace import Pace
    from valkeyctl.caching.policy import NamespacePolicy
    from valkeyctl.caching.refresher import Refresher
    from valkeyctl.caching.responses import ResponseCache
    from valkeyctl.caching.script import Script
    from valkeyctl.caching.shelf import Lookup, Shelf
    from valkeyctl.caching.stats import CacheStats
    from valkeyctl.caching.stock import warm_entries, warm_file
    from valkeyctl.caching.warming import warm, warm_hottest, warm_in_bulk

__all__ = [
    "Breaker",
    "CacheService",
    "CacheStats",
    "Cached",
    "HotId",
    "KeyRing",
    "Lookup",
    "Message",
    "NamespacePolicy",
    "Observer",
    "Pace",
    "Refresher",
    "ResponseCache",
    "Script",
    "Shelf",
    "ValkeyClient",
    "Warmed",
    "cached",
    "warm",
    "warm_entries",
    "warm_file",
    "warm_hottest",
    "warm_in_bulk",
]

_HOMES = {
    "Breaker": "breaker",
    "CacheService": "cache",
    "CacheStats": "stats",
    "Cached": "calls",
    "HotId": "heat",
    "KeyRing": "keyring",
    "Lookup": "shelf",
    "Message": "messages",
    "NamespacePolicy": "policy",
    "Observer": "observer",
    "Pace": "pace",
    "Refresher": "refresher",
    "ResponseCache": "responses",
    "Script": "script",
    "Shelf": "shelf",
    "ValkeyClient": "client",
    "Warmed": "course",
    "cached": "calls",
    "warm": "warming",
    "warm_entries": "stock",
    "warm_file": "stock",
    "warm_hottest": "warming",
    "warm_in_bulk": "warming",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
