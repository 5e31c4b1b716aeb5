"""The near cache: valid entries kept inside the process, coherent with the server.

What it guarantees and what it costs: docs/explanation/near-cache.md.
"""

from valkeyctl.caching.near.cache import MISS, NearCache, NearStats, Token
from valkeyctl.caching.near.quorum import Announcement, Quorum

__all__ = ["MISS", "Announcement", "NearCache", "NearStats", "Quorum", "Token"]
