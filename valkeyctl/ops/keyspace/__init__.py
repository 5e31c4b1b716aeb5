"""Keys by namespace: list, count, look into, load and flush them, bounded in server time.

::

    listing.list_keys       rows as they are found
    stats.stats             keys, memory and lives by namespace, counted or sampled
    inspect.inspect_key     one key: its envelope, and a look at its value
    warm.warm               entries from lines of JSON
    flush.plan_flush        what a flush would touch
    flush.flush             an empty namespace

All of them are blocking, speak over `caching.wire` and never print; a walk over the keys
is `scan.Walker` everywhere.
"""
