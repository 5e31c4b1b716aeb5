"""Every command, on a real deployment, prints exactly one envelope with -o json."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run
from tests.conftest import free_port
from valkeyctl.cli.commands import COMMANDS
from valkeyctl.profile import profile_names

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
    (["deploy", "--diff"], "deploy", "fail", 1, {"drift", "files", "takes", "running"}),
    (["deploy", "--dry-run"], "deploy", "ok", 0, {"name", "action", "changed"}),
    (["deploy"], "deploy", "ok", 0, {"name", "url", "runtime", "runtime_reason", "changed"}),
    (["deploy", "--diff"], "deploy", "ok", 0, {"drift", "files", "takes", "running"}),
    (["status"], "status", "ok", 0, {"url", "password_file", "runtime", "runtime_reason", "drift"}),
    (["url"], "url", "ok", 0, {"url", "host", "port"}),
    (["logs"], "logs", "ok", 0, {"lines"}),
    (["health"], "health", "ok", 0, {"checks", "healthy"}),
    (["connect", "PING"], "connect", "ok", 0, {"address", "replies"}),
    (["smoke"], "smoke", "ok", 0, {"cases"}),
    (["drill", "hang", "--dry-run"], "drill.hang", "ok", 0, {"does", "undoes", "hold_s"}),
    (["drill", "undo"], "drill.undo", "ok", 0, {"found", "done"}),
    (["tls", "init"], "tls.init", "ok", 0, {"folder", "hosts", "not_after"}),
    (["tls", "show"], "tls.show", "ok", 0, {"days_left", "good", "chain"}),
    (["backup"], "backup", "ok", 0, {"folder", "keys", "verified_by"}),
    (["backup", "ls"], "backup.ls", "ok", 0, {"backups"}),
    (["keys", "warm", "entries.jsonl"], "keys.warm", "ok", 0, {"loaded", "rejected"}),
    (["keys", "ls"], "keys.ls", "ok", 0, {"keys", "truncated"}),
    (["keys", "ls", "--limit", "1"], "keys.ls", "ok", 0, {"keys", "truncated"}),
    (["keys", "stats"], "keys.stats", "ok", 0, {"namespaces", "total", "method"}),
    (["keys", "inspect", "shop:metadata:gpt-x"], "keys.inspect", "ok", 0, {"key", "entry"}),
    (["keys", "flush", "metadata", "--dry-run"], "keys.flush", "ok", 0, {"keys", "sample"}),
    (["keys", "flush", "metadata", "--yes"], "keys.flush", "ok", 0, {"deleted", "invalidated"}),
    # A warning: this profile keeps nothing, so that its keys are gone.
    (["restart"], "restart", "warn", 0, {"action", "write_gap_ms", "warnings"}),
    (["down", "--dry-run"], "down", "ok", 0, {"would_stop"}),
    (["down", "--purge", "--yes"], "down", "ok", 0, {"stopped", "purged"}),
    (["status"], "status", "fail", 1, {"running"}),
]
# Command line on a profile with users that was never deployed: exit status and error code.
FAILURES: list[tuple[list[str], int, str]] = [
    (["deploy", "--nope"], 2, "usage"),
    (["deploy", "--diff", "--rollback"], 2, "usage"),
    (["deploy", "--rollback"], 4, "refused"),
    (["deploy", "--rollback", "--yes"], 1, "not_found"),
    (["deploy", "--runtime", "nope"], 2, "usage"),
    (["render", "--target", "nope"], 2, "usage"),
    (["url", "--show-secret"], 5, "missing"),
    (["connect", "PING"], 5, "missing"),
    (["health"], 5, "missing"),
    (["smoke"], 5, "missing"),
    (["logs"], 1, "not_found"),
    (["restart"], 1, "not_found"),
    (["down", "--purge"], 4, "refused"),
    (["drill", "kill", "--yes"], 1, "not_found"),
    (["backup"], 5, "missing"),
    (["backup", "verify", "none"], 1, "not_found"),
    (["restore", "none"], 1, "not_found"),
    (["tls", "show"], 5, "missing"),
    (["secrets", "rotate", "nobody"], 2, "usage"),
    (["secrets", "export"], 2, "usage"),
    (["doctor", "--nope"], 2, "usage"),
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

    # Of their own: test_doctor.py (its verdict is the machine's), test_backup.py, and
    # test_secrets.py, which wants a profile with users.
    elsewhere = {"doctor", "restore", "secrets"}
    assert set(COMMANDS) - tried == {"bench", "demo", "gateway"} | elsewhere


@pytest.mark.parametrize(("argv", "exit_status", "code"), FAILURES, ids=str)
def test_every_failure_is_one_envelope(
    ctl: Run, home: Path, argv: list[str], exit_status: int, code: str
) -> None:
    """With its code and its next step, and no prompt where there is no terminal."""
    profile = home / "prodlike.yaml"
    profile.write_text(
        f"extends: prod\nname: t{free_port()}\nruntime: process\npublish: 127.0.0.1:{free_port()}\n"
    )

    done = ctl(*argv, "-p", str(profile), "-o", "json")

    assert list(done.envelope) == ["version", "kind", "status", "error"], done.out
    assert (done.status, done.error["code"]) == (exit_status, code), done.out
    assert (done.envelope["kind"], done.envelope["status"]) == ("error", "fail")
    assert done.error["hint"]
    assert "Value error" not in done.error["message"]


def test_the_other_forms_carry_the_same(ctl: Run) -> None:
    """YAML and JSON lines are the envelope, names are names."""
    as_yaml = yaml.safe_load(ctl("profiles", "validate", "dev", "-o", "yaml").out)
    as_line = json.loads(ctl("profiles", "validate", "dev", "-o", "jsonl").out)

    assert as_yaml == as_line == ctl("profiles", "validate", "dev", "-o", "json").envelope
    assert ctl("profiles", "ls", "-o", "name").out.split() == sorted(profile_names())


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
