"""What programs read of each verb: its kind, its status, and the names in its data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching.wire import Wire
from valkeyctl.cli.keys import VERBS
from valkeyctl.endpoint import Endpoint

# Verb and arguments, exit status, names in the data that scripts may count on.
CASES: list[tuple[list[str], int, set[str]]] = [
    (["warm", "entries.jsonl"], 0, {"loaded", "rejected"}),
    (["ls"], 0, {"keys", "truncated"}),
    (["stats"], 0, {"namespaces", "total", "method"}),
    (["tree"], 0, {"root", "method"}),
    (["top"], 0, {"keys", "truncated"}),
    (["inspect", "shop:metadata:a"], 0, {"key", "entry", "memory_bytes", "ttl_s"}),
    (["expire", "--dry-run"], 0, {"found", "fixed", "left"}),
    (["invalidate", "metadata"], 0, {"versions"}),
    (["flush", "metadata", "--dry-run"], 0, {"keys", "sample", "memory_bytes"}),
    (["flush", "metadata", "--yes"], 0, {"deleted", "invalidated"}),
]
# They carry a stream, which has tests of its own.
STREAMS = {"export", "import"}


def test_every_verb_prints_one_envelope(ctl: Run, endpoint: Endpoint) -> None:
    """One object on standard output, and what a person is told beside it."""
    entry = {"namespace": "metadata", "id": "a", "value": 1, "ttl": 300}
    Path("entries.jsonl").write_text(json.dumps(entry) + "\n")

    for argv, status, names in CASES:
        done = ctl("keys", *argv, "--url", endpoint.url(), "--app", "shop", "-o", "json")

        said = f"{' '.join(argv)}: {done.out}{done.err}"
        assert done.status == status, said
        assert list(done.envelope) == ["version", "kind", "status", "data"], said
        assert done.envelope["version"] == 1
        assert done.envelope["kind"] == f"keys.{argv[0]}"
        assert done.envelope["status"] == "ok", said
        assert names <= set(done.data), said


def test_every_verb_is_tried_above() -> None:
    """A verb that is added without its envelope being pinned fails here."""
    assert set(VERBS) - STREAMS == {argv[0] for argv, _, _ in CASES}


@pytest.mark.parametrize("verb", VERBS)
def test_wrong_usage_is_an_envelope_too(ctl: Run, verb: str) -> None:
    """An option that is not there, of every verb."""
    done = ctl("keys", verb, "--no-such-option", "-o", "json")

    assert done.status == 2
    assert done.error["code"] == "usage"
    assert f"valkeyctl keys {verb} --help" in done.error["hint"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_described_as_its_own_help_begins(ctl: Run, verb: str) -> None:
    """`keys --help` reads a table instead of the verbs."""
    text = " ".join(ctl("keys", verb, "--help").out.split())

    assert VERBS[verb].help.rstrip(".") in text


def test_the_help_of_keys_imports_no_verb(ctl: Run) -> None:
    """It is what an operator asks for first."""
    code = (
        "import sys\nfrom valkeyctl.cli.boundary import run\n"
        "run(['keys', '--help'])\n"
        "print([m for m in sys.modules if m.startswith(('valkeyctl.cli.keys.', "
        "'valkeyctl.ops.', 'valkeyctl.caching.'))], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def test_an_unreachable_server_is_one_sentence_for_every_verb(ctl: Run) -> None:
    """Status 3, and a next step."""
    for argv, _, _ in CASES:
        if argv[0] == "warm":
            Path("entries.jsonl").write_text("")
        done = ctl("keys", *argv, "--url", "redis://127.0.0.1:1/0", "--app", "shop", "-o", "json")

        assert done.status == 3, f"{argv}: {done.out}{done.err}"
        assert done.error["code"] == "unreachable"


def test_the_verbs_work_on_what_is_there(ctl: Run, endpoint: Endpoint) -> None:
    """Not a word of a key's bytes can break the envelope or the terminal."""
    with Wire(endpoint) as wire:
        wire.call("SET", b"shop:metadata:\x1b[31m\n\xff", "x")

    for verb in ("ls", "top", "tree", "stats"):
        done = ctl("keys", verb, "--url", endpoint.url(), "--app", "shop", "-o", "json")
        table = ctl("keys", verb, "--url", endpoint.url(), "--app", "shop")

        assert done.status == 0
        assert done.envelope["kind"] == f"keys.{verb}"
        assert "\x1b" not in table.out + done.out
