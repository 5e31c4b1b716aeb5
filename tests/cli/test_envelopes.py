"""Every command, on a real deployment, prints exactly one envelope with -o json."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import yaml

from tests.cli.conftest import Run
from valkeyctl.cli.commands import COMMANDS

ENTRIES = (
    '{"namespace": "metadata", "id": "gpt-x", "value": {"context": 1, "api_key": "sk-1"}}\n'
    '{"namespace": "response", "id": "hello", "value": "Hello!", "tags": ["greetings"]}\n'
)
# Command line and what its envelope says: kind, status, exit status, keys of data.
CASES: list[tuple[list[str], str, str, int, set[str]]] = [
    (["init", "fresh"], "init", "ok", 0, {"name", "path"}),
    (["profiles", "ls"], "profiles.ls", "ok", 0, {"profiles"}),
    (["profiles", "show"], "profiles.show", "ok", 0, {"profile"}),
    (["profiles", "validate"], "profiles.validate", "ok", 0, {"name", "maxmemory_bytes"}),
    (["profiles", "schema"], "profiles.schema", "ok", 0, {"schema"}),
    (["render"], "render", "ok", 0, {"files", "digest"}),
    (["render", "--out", "out"], "render", "ok", 0, {"files", "changed"}),
    (["render", "--check", "--out", "out"], "render", "ok", 0, {"differences"}),
    (["render", "--check", "--out", "void"], "render", "fail", 1, {"differences"}),
    (["deploy", "--dry-run"], "deploy", "ok", 0, {"name", "action", "changed"}),
    (["deploy"], "deploy", "ok", 0, {"name", "url", "runtime", "runtime_reason", "changed"}),
    (["status"], "status", "ok", 0, {"url", "password_file", "runtime", "runtime_reason", "drift"}),
    (["url"], "url", "ok", 0, {"url", "host", "port"}),
    (["logs"], "logs", "ok", 0, {"lines"}),
    (["health"], "health", "ok", 0, {"checks", "healthy"}),
    (["smoke"], "smoke", "ok", 0, {"cases"}),
    (["keys", "warm", "entries.jsonl"], "keys.warm", "ok", 0, {"loaded", "rejected"}),
    (["keys", "ls"], "keys.ls", "ok", 0, {"keys", "truncated"}),
    (["keys", "ls", "--limit", "1"], "keys.ls", "ok", 0, {"keys", "truncated"}),
    (["keys", "stats"], "keys.stats", "ok", 0, {"namespaces", "total", "method"}),
    (["keys", "inspect", "shop:metadata:gpt-x"], "keys.inspect", "ok", 0, {"key", "entry"}),
    (["keys", "flush", "metadata", "--dry-run"], "keys.flush", "ok", 0, {"keys", "sample"}),
    (["keys", "flush", "metadata", "--yes"], "keys.flush", "ok", 0, {"deleted", "invalidated"}),
    (["restart"], "restart", "ok", 0, {"action", "write_gap_ms"}),
    (["down", "--dry-run"], "down", "ok", 0, {"would_stop"}),
    (["down", "--purge", "--yes"], "down", "ok", 0, {"stopped", "purged"}),
    (["status"], "status", "fail", 1, {"running"}),
]


def test_every_command_prints_one_envelope(ctl: Run, profile: Path) -> None:
    """In the order of an operator's day, on one deployment."""
    Path("entries.jsonl").write_text(ENTRIES)

    for argv, kind, status, exit_status, keys in CASES:
        done = ctl(*argv, "-p", str(profile), "-o", "json")

        said = f"{' '.join(argv)}: {done.out}{done.err}"
        assert done.status == exit_status, said
        assert list(done.envelope) == ["version", "kind", "status", "data"], said
        assert done.envelope["version"] == 1
        assert done.envelope["kind"] == kind
        assert done.envelope["status"] == status, said
        assert keys <= set(done.data), said
        assert "sk-1" not in done.out


def test_every_noun_and_verb_is_tried_above_or_runs_for_minutes() -> None:
    """A command that is added without its envelope being pinned fails here."""
    tried = {case[0][0] for case in CASES}

    assert set(COMMANDS) - tried == {"bench", "demo", "gateway"}


def test_the_other_forms_carry_the_same(ctl: Run) -> None:
    """YAML and JSON lines are the envelope, names are names."""
    as_yaml = yaml.safe_load(ctl("profiles", "validate", "dev", "-o", "yaml").out)
    as_line = json.loads(ctl("profiles", "validate", "dev", "-o", "jsonl").out)

    assert as_yaml == as_line == ctl("profiles", "validate", "dev", "-o", "json").envelope
    assert ctl("profiles", "ls", "-o", "name").out.split() == ["ci", "default", "dev"]


def test_a_command_without_names_says_so(ctl: Run) -> None:
    """-o name is refused where there is nothing to name."""
    done = ctl("profiles", "schema", "-o", "name")

    assert done.status == 2
    assert "has no names" in done.err


def test_junit_is_readable_by_a_ci_server(ctl: Run, profile: Path) -> None:
    """Smoke --deploy --junit: one test case per check."""
    done = ctl("smoke", "-p", str(profile), "--deploy", "--junit", "smoke.xml")

    suite = ET.parse("smoke.xml").getroot()  # noqa: S314 - we wrote it
    cases = list(suite.iter("testcase"))
    assert done.status == 0, done.err
    assert len(cases) >= 5
    assert not list(suite.iter("failure"))


def test_a_second_deploy_changes_nothing_and_says_so(ctl: Run, profile: Path) -> None:
    """The same process goes on."""
    first = ctl("deploy", "-p", str(profile), "-o", "json")
    second = ctl("deploy", "-p", str(profile), "-o", "json")

    assert first.data["changed"] is True
    assert second.data["changed"] is False
    assert second.data["action"] == "unchanged"


def test_what_was_warmed_is_found_by_the_library_and_flushed(ctl: Run, profile: Path) -> None:
    """warm, stats, flush: the counts agree."""
    Path("entries.jsonl").write_text(ENTRIES)
    ctl("deploy", "-p", str(profile))

    warmed = ctl("keys", "warm", "entries.jsonl", "-p", str(profile), "-o", "json")
    stats = ctl("keys", "stats", "-p", str(profile), "-o", "json")
    flushed = ctl("keys", "flush", "response", "--yes", "-p", str(profile), "-o", "json")
    left = ctl("keys", "ls", "-p", str(profile), "-o", "name")

    assert warmed.data["loaded"] == 2
    spaces = stats.data["namespaces"]
    assert isinstance(spaces, list)
    assert {space["name"]: space["keys"] for space in spaces} == {"metadata": 1, "response": 1}
    assert flushed.data["deleted"] == 1
    assert left.out.split() == ["shop:metadata:gpt-x"]


def test_rendering_twice_writes_once(ctl: Run, home: Path) -> None:
    """Render --out is idempotent, and --check finds an edit."""
    first = ctl("render", "-p", "dev", "--out", "out", "-o", "json")
    second = ctl("render", "-p", "dev", "--out", "out", "-o", "json")
    conf = home / "out" / "valkey.conf"
    conf.write_text(conf.read_text().replace("timeout 0", "timeout 9"))
    checked = ctl("render", "-p", "dev", "--out", "out", "--check")

    assert len(first.data["changed"]) == 3  # type: ignore[arg-type]
    assert second.data["changed"] == []
    assert checked.status == 1
    assert "-timeout 9" in checked.out
    assert "+timeout 0" in checked.out
