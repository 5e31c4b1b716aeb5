"""Names for shell completion: the namespaces that were last seen on a server.

Verbs that look at a keyspace leave what they saw in ``namespaces.tsv`` in our state
folder, one line per selection (URL without its login, or profile): the selection, when,
and each ``app:namespace``. Completion reads it before anything heavy is imported, so
nothing here may import typer, and nothing here may fail: a name that is missing is typed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from valkeyctl.ops.stateroot import default_root

_LARGEST = 64 * 1024  # bytes that are read, and written
_MOST_NAMES = 200  # per selection
_OLDEST = 30 * 86400.0  # seconds after which names are asked for anew
_RENEWED = 3600.0  # seconds for which an unchanged line is left alone
_PATIENCE = 0.04  # seconds for a server to say what it has
_STEPS, _COUNT = 4, 500  # so little is asked: the names that matter have many keys

_HARMLESS = {ord(character): None for character in ":._-"}


class Selected(NamedTuple):
    """What the words of a command line say of the server, as they were given."""

    url: str | None = None
    profile: str | None = None
    app: str | None = None
    state_dir: str | None = None


def remember(
    selected: Selected, app: str | None, names: Iterable[str], environ: Mapping[str, str]
) -> None:
    """Keep what was seen on the selected server.

    Args:
        selected: As the user gave it.
        app: Whose namespaces *names* are, so that those of others stay; None for all.
        names: The namespaces; each after its application where *app* is None.
        environ: Says which server is meant when no option does.
    """
    key, now = _key(selected, environ), time.time()
    file = _file(selected, environ)
    lines = _lines(file)
    old = lines.pop(key, [])
    seen = {f"{app}:{name}" if app else name for name in names}
    others = {one for one in old[2:] if app and not one.startswith(f"{app}:")}
    kept = sorted(one for one in seen | others if is_word(one))[:_MOST_NAMES]
    if not kept or (old[2:] == kept and 0 <= now - float(old[1]) < _RENEWED):
        return
    # Newest first: what was used last is what stays when there are too many.
    rows = [[key, str(int(now)), *kept], *lines.values()]
    text = ""
    for row in rows:
        line = "\t".join(row) + "\n"
        if len(text) + len(line) > _LARGEST:
            break
        text += line
    new = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(text.encode("utf-8", "replace"))
        new.replace(file)
    except OSError:
        return  # a folder that cannot be written stops no count of keys


def recall(selected: Selected, environ: Mapping[str, str]) -> list[str]:
    """Return the namespaces of the selected server, from the file or from the server itself."""
    row = _lines(_file(selected, environ)).get(_key(selected, environ))
    if row and 0 <= time.time() - float(row[1]) < _OLDEST:
        names = row[2:]
    else:
        url = _given_url(selected, environ)
        names = _ask(url) if url else []
        remember(selected, None, names, environ)
    pairs = [name.partition(":") for name in names]
    return sorted({name for app, _, name in pairs if selected.app in {None, app}})


def is_word(text: str) -> bool:
    """Say whether *text* means nothing to a shell, and can so be offered to one."""
    return text.isascii() and text.translate(_HARMLESS).isalnum()


def _file(selected: Selected, environ: Mapping[str, str]) -> Path:
    root = Path(selected.state_dir) if selected.state_dir else default_root(environ)
    return root / "namespaces.tsv"


def _given_url(selected: Selected, environ: Mapping[str, str]) -> str | None:
    """Return the URL that a command would take, as `target.given_url` does."""
    if selected.url or selected.profile:
        return selected.url
    return environ.get("VALKEYCTL_URL") or environ.get("CACHE_URL")


def _key(selected: Selected, environ: Mapping[str, str]) -> str:
    url = _given_url(selected, environ)
    if url:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}".replace("\t", " ").replace("\n", " ")
    name = selected.profile or environ.get("VALKEYCTL_PROFILE") or "default"
    is_path = "/" in name or name.endswith((".yaml", ".yml"))
    return f"profile {Path(name).absolute() if is_path else name}"


def _lines(file: Path) -> dict[str, list[str]]:
    """Return the fields of each line by its selection; nothing of a file that is not ours."""
    found: dict[str, list[str]] = {}
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            text = lines.read(_LARGEST)
    except OSError:
        return found
    for line in text.splitlines():
        fields = line.split("\t")
        # A shell evaluates what it is offered, so names are what names may be.
        if len(fields) > 2 and fields[1].isdecimal() and all(map(is_word, fields[2:])):
            found.setdefault(fields[0], fields)
    return found


def _ask(url: str) -> list[str]:
    """Return ``app:namespace`` of some keys; nothing where that takes long, or fails."""
    from valkeyctl.caching.keys import parse_key
    from valkeyctl.caching.wire import Wire
    from valkeyctl.endpoint import Endpoint
    from valkeyctl.errors import ValkeyctlError

    found: set[str] = set()
    ends = time.monotonic() + _PATIENCE
    try:
        endpoint = Endpoint.parse(url)
        # A name that has to be looked up, a handshake, or other servers to find take longer.
        here = endpoint.host == "localhost" or endpoint.host.replace(".", "").isdecimal()
        if endpoint.tls or endpoint.topology != "standalone" or not here:
            return []
        with Wire(endpoint, timeout=_PATIENCE) as wire:
            cursor = b"0"
            for _ in range(_STEPS):
                wire.allow(max(0.001, ends - time.monotonic()))
                answer = wire.call("SCAN", cursor, "COUNT", _COUNT)
                match answer:
                    case [bytes() as cursor, [*keys]]:
                        parsed = [parse_key(key) for key in keys if isinstance(key, bytes)]
                    case _:
                        break
                found.update(
                    f"{one.app}:{one.namespace}" for one in parsed if one and one.namespace
                )
                if cursor == b"0" or time.monotonic() >= ends:
                    break
    except ValkeyctlError:
        pass  # no server, no names
    return sorted(found)
