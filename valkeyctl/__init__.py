"""Deploy a Valkey cache, operate it by namespace, and measure what it buys.

Importing this package does nothing else: no connection, no environment read,
no heavy import. The library is in ``valkeyctl.caching``.
"""

__version__ = "0.1.0"
