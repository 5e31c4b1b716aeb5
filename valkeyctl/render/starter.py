"""The profile that `valkeyctl init` begins with."""

from __future__ import annotations

import re
from string import Template

from valkeyctl.errors import UsageError
from valkeyctl.profile.fields import NAME_PATTERN

_STARTER = Template("""\
# $name: a cache for development, reachable from this machine only, without a password.
# Check it: valkeyctl profiles validate $name      Deploy it: valkeyctl deploy -p $name
# Every field with its default and its reason: docs/reference/profile.md

name: $quoted                   # prefix of everything that is made
app: $quoted                    # first part of every key
description: a cache for development

publish: 127.0.0.1:6379         # host:port; 127.0.0.1 is this machine only
image: docker.io/valkey/valkey:8.1

memory:
  limit: 256Mi                  # what the container may take
  maxmemory: auto               # what the data may take; auto leaves room for the rest
  copy_on_write: 1              # room to rewrite all of it during a snapshot; 0.3: few writes
eviction: allkeys-lru           # when full: least recently used first; noeviction refuses writes

# none: a restart empties the cache. rdb: snapshots, and one at the end. aof: every write.
persistence: rdb

# How long an entry lives, by namespace; others may be added.
namespaces:
  response: {ttl: 1h}
  context: {ttl: 30m}
  metadata: {ttl: 5m}
""")


def starter(name: str) -> str:
    """Return the text of a valid, commented profile called *name*.

    Raises:
        UsageError: The name cannot be that of a profile.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} is no name for a profile",
            hint="Write lower-case letters, digits and inner hyphens, 40 at most",
        )
    # A name such as 404 or true is text only in quotes.
    is_word = name[0].isalpha() and name not in {"true", "false", "null"}
    return _STARTER.substitute(name=name, quoted=name if is_word else f'"{name}"')
