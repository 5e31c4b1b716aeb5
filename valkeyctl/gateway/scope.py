"""Who may share an answer: one scope per credential and per user that it asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

# Of the caller's headers only these two groups reach a provider. The first says whose
# answer it is, the second which: so all of them are part of the scope.
CREDENTIALS = ("authorization", "api-key", "x-api-key")
VARIANTS = ("openai-organization", "openai-project", "openai-beta")

PUBLIC = "public"


def scope_of(headers: Mapping[str, str], *, user: str = "") -> str:
    """Return the name of the group of requests that may share answers with this one.

    Two requests share only if their credentials, their variant headers and their users
    are all the same. No secret can be read from the name: it is a digest.

    Args:
        headers: Of the request, names in lower case.
        user: The ``user`` field of the body: an application with one key for all its
            people tells them apart by it.
    """
    parts = [f"{name} {headers[name]}" for name in (*CREDENTIALS, *VARIANTS) if name in headers]
    if user:
        parts.append(f"user {user}")
    if not parts:
        return PUBLIC
    # Lengths keep a user with a line feed in its name from looking like a header.
    text = "".join(f"{len(part)} {part}\n" for part in parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
