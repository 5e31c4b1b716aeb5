"""What a person is told of an entry."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from valkeyctl.cli.console import Console
from valkeyctl.cli.keys.inspect import print_detail
from valkeyctl.ops.keyspace.inspection.entry import EntryDetail
from valkeyctl.ops.keyspace.inspection.inspect import KeyDetail
from valkeyctl.ops.keyspace.inspection.preview import Preview

ENTRY = EntryDetail(
    created_s=1000.0,
    age_s=10.0,
    version="current",
    tags=(),
    stale_tags=(),
    format="json",
    compressed=False,
    key_id=None,
    payload_bytes=200,
    raw_bytes=200,
    fresh_until_s=None,
    load_s=None,
)
DETAIL = KeyDetail(
    key=b"opencode:metadata:k",
    display="opencode:metadata:k",
    app="opencode",
    namespace="metadata",
    control=False,
    type="string",
    encoding="raw",
    ttl_s=60.0,
    memory_bytes=300,
    idle_s=None,
    frequency=None,
    length=238,
    entry=ENTRY,
    preview=Preview(),
)


def printed(entry: EntryDetail) -> str:
    """Return what `keys inspect` prints."""
    out = io.StringIO()
    print_detail(Console(out), replace(DETAIL, entry=entry))
    return out.getvalue()


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (ENTRY, "format      json, 200 B\n"),
        (
            replace(ENTRY, compressed=True, raw_bytes=2048),
            "format      json, 200 B compressed from 2.0 KiB\n",
        ),
        (
            replace(ENTRY, compressed=True, key_id=7, raw_bytes=None),
            "format      json, 200 B compressed, encrypted (key id 7)\n",
        ),
        (replace(ENTRY, fresh_until_s=1015.0), "fresh       for 5 s\n"),
        (replace(ENTRY, fresh_until_s=1004.0), "fresh       no, since 6 s\n"),
    ],
)
def test_size_compression_encryption_and_freshness_are_said(entry: EntryDetail, line: str) -> None:
    """Each where it applies; an entry that is always fresh has no line for it."""
    said = printed(entry)

    assert line in said
    assert ("fresh " in said) == (entry.fresh_until_s is not None)
