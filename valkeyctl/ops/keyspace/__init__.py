"""Keys by namespace: list, count, look into, load, carry and remove them, bounded in server time.

::

    scan.Walker     the one way over the keys of all primaries; lanes, pages, pace
    scope, nodes    whose a key is; which servers hold the keys
    inspection/     rows of keys, one key in depth, the bytes of one value
    counting/       keys, memory and lives by namespace, as a tree, the biggest and hottest
    loading/        entries from lines of JSON, CSV or an export
    requests/       recorded requests through a gateway, which then has the answers
    transfer/       the export file, out of one server and into another
    removal/        invalidate, flush, resume, expire

All of them are blocking, speak over `caching.wire` and never print.
"""
