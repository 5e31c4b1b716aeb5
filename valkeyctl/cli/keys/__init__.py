"""``valkeyctl keys``: what is in the cache, what it costs, and removing it.

Each verb is a file of this package, imported when the verb runs. To add one: write
``cli/keys/VERB.py`` with ``app = new_app()`` and one ``@app.command(cls=Command)``, and
give it its line in `VERBS`, which `keys --help` reads; then `make docs`.
"""

from __future__ import annotations

from valkeyctl.cli.boundary import lazy_app
from valkeyctl.cli.commands import COMMANDS, Entry

VERBS: dict[str, Entry] = {
    "ls": Entry("ls", "List keys with type, TTL and size, as they are found."),
    "stats": Entry("stats", "Count keys, memory and TTLs by namespace."),
    "tree": Entry("tree", "Show keys and memory as a tree of the words in the keys."),
    "top": Entry("top", "Find the biggest, hottest or longest unused keys."),
    "inspect": Entry("inspect", "Show one key: entry, tags, TTL, size, preview."),
    "warm": Entry("warm", "Load entries from a file, or send requests through a gateway."),
    "export": Entry("export", "Write keys with values, TTLs and tags, to be imported elsewhere."),
    "import": Entry(
        "import_", "Store exported keys as they were, with the TTLs that they had left."
    ),
    "invalidate": Entry(
        "invalidate", "Make every entry of a namespace, or with a tag, a miss at once."
    ),
    "flush": Entry("flush", "Empty a namespace, and give its memory back."),
    "expire": Entry("expire", "Find keys without expiry, and give them one."),
}
app = lazy_app(COMMANDS["keys"].help, VERBS, package=__name__)
