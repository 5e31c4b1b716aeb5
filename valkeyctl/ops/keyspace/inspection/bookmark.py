"""Where a listing stopped, as one word that a user can hand back."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.cursors import DONE

_FORM = 1
_DIGEST_BYTES = 9
_AGAIN = "Begin again, without --after"


@dataclass(frozen=True)
class Bookmark:
    """A place in a listing.

    Attributes:
        servers: Which processes were listed; their cursors mean nothing to others.
        filters: What was listed of them.
        node: Number of the server that it stopped at.
        cursor: Where that one's SCAN goes on; `DONE` where only *left* is left of it.
        left: Keys that were found before that place, and not given yet.
    """

    servers: str
    filters: str
    node: int
    cursor: int
    left: tuple[bytes, ...] = ()

    def token(self) -> str:
        """Return it as a word without spaces or quotes."""
        left = [key.decode("latin-1") for key in self.left]
        fields = [_FORM, self.servers, self.filters, self.node, self.cursor, left]
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        return urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def parse(cls, token: str, *, servers: str, filters: str) -> Bookmark:
        """Return the place that *token* names, in a listing of these servers and filters.

        Raises:
            UsageError: It is no token of ours, or one of another listing.
        """
        try:
            fields = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            form, its_servers, its_filters, node, cursor, left = fields
            keys = tuple(key.encode("latin-1") for key in left)
            usable = (form, type(node), type(cursor)) == (_FORM, int, int) and node >= 0
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError("--after is no token that keys ls gave", hint=_AGAIN) from error
        if not usable or not DONE <= cursor < 2**64:
            raise UsageError("--after is no token that keys ls gave", hint=_AGAIN)
        if its_filters != filters:
            raise UsageError(
                "--after is of a listing with another pattern or other filters",
                hint="Repeat the pattern and the filters of that listing, or leave out --after",
            )
        if its_servers != servers:
            raise UsageError(
                "the listing cannot go on: a server was restarted or replaced since", hint=_AGAIN
            )
        return cls(servers, filters, node, cursor, keys)


def digest(parts: Iterable[object]) -> str:
    """Return a short word that is another one when any of *parts* is."""
    text = "\n".join(map(repr, parts)).encode()
    return b64encode(hashlib.sha256(text).digest()[:_DIGEST_BYTES]).decode()
