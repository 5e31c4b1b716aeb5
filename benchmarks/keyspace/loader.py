"""The same entries stored by redis-py, a thousand SETs a pipeline.

python -m benchmarks.keyspace.loader PORT ENTRIES
"""

from __future__ import annotations

import sys

import redis

from benchmarks.keyspace.contents import ENTRIES, ENTRIES_APP, TTL, id_of, value_of

_AT_ONCE = 1000


def main(port: int, entries: int) -> None:
    """Store them."""
    client = redis.Redis(port=port)
    prefix = f"{ENTRIES_APP}:{ENTRIES}:"
    for first in range(0, entries, _AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(entries, first + _AT_ONCE)):
            pipeline.set(prefix + id_of(number), value_of(number), ex=TTL)
        pipeline.execute()
    client.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
