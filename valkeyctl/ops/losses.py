"""What a rollout must not do without a yes or a word: lose keys, leave data unread."""

from __future__ import annotations

from valkeyctl.errors import RefusedError
from valkeyctl.ops.before import Before
from valkeyctl.ops.persistence import saves
from valkeyctl.ops.statefolder import Record
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime


def refuse_loss(before: Before, keys: int | None) -> None:
    """Refuse to lose keys of a store, or in production; of a cache that is normal.

    Args:
        before: What runs.
        keys: That it holds; None when it could not be asked.

    Raises:
        RefusedError: They would be lost.
    """
    wanted = before.wanted
    store = wanted.directives.get("maxmemory-policy") == "noeviction"
    if keys == 0 or before.instance is None or not (store or wanted.production):
        return
    # One that is silent is lost already; one that answers and does not let us count is not.
    if not before.loses_data or (keys is None and not before.answers()):
        return
    raise RefusedError(
        f"{'the' if keys is None else f'{keys:,}'} keys of {wanted.name} would be lost: the "
        "running server keeps no data over a restart",
        hint="Back them up first: valkeyctl backup; or say that you mean it: --yes",
    )


def gone(runtime: Runtime, wanted: Artefacts, record: Record | None) -> list[str]:
    """Return a warning where a server that kept its data finds none any more.

    Somebody has removed it; the server starts all the same, and says nothing of it.
    """
    if record is None or record.runtime != runtime.name or not saves(record.directives):
        return []
    if wanted.kind != "server" or runtime.keeps(wanted.name):
        return []
    return [f"the data that {runtime.name} kept of {wanted.name} is not there any more"]


def require_readable(
    runtime: Runtime, wanted: Artefacts, record: Record | None, before: Before
) -> None:
    """Refuse a server that is older than the one that has written the data.

    Found out while the old one still serves; the new one would end as it loads an RDB of a
    later format. It may read an append-only file that it has begun itself.

    Raises:
        RefusedError: It is, by a major version.
        MissingError: The image or the binary is not there.
    """
    instance = before.instance
    then = (instance.version if instance else "") or (record.version if record else "")
    if wanted.kind != "server" or not then:
        return
    if instance is not None and instance.facts.get("image") == wanted.image:
        return  # the very image that runs; a tag that has moved is told otherwise
    if not before.keeps_data or not runtime.keeps(wanted.name):
        return
    now = runtime.server_version(wanted)
    if _major(now) and _major(now) < _major(then):
        raise RefusedError(
            f"valkey {now} may not be able to read what valkey {then} has written for "
            f"{wanted.name}",
            hint="Stay with the newer version, or try it with --yes: when it cannot, the newer "
            "one is put back",
        )


def _major(version: str) -> int:
    major = version.partition(".")[0]
    return int(major) if major.isdigit() else 0
