"""``valkeyctl tls``, and the options that say whom to trust."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.certificates import needs_tls_server
from tests.cli.conftest import Done, Run
from tests.conftest import free_port


@pytest.fixture
def secure(profile: Path) -> Path:
    """The profile of this test, with TLS."""
    profile.write_text(profile.read_text() + "tls: true\n")
    return profile


def folder_of(done: Done) -> Path:
    """Return where `tls init` has written."""
    return Path(str(done.data["folder"]))


def test_init_then_show(ctl: Run, secure: Path) -> None:
    """Made once, shown as good, and nothing secret in what is printed."""
    made = ctl("tls", "init", "-p", str(secure), "--host", "cache.example.org", "-o", "json")
    found = ctl("tls", "show", "-p", str(secure), "-o", "json")

    assert (made.status, found.status) == (0, 0)
    assert made.envelope["kind"] == "tls.init"
    assert made.data["new_ca"] is True
    assert "cache.example.org" in str(found.data["hosts"])
    assert (found.data["good"], found.data["enabled"]) == (True, True)
    keys = [file.read_text() for file in folder_of(made).glob("*.key")]
    assert len(keys) == 3
    for key in keys:
        assert key.splitlines()[1] not in made.out + made.err + found.out + found.err


def test_a_second_init_is_refused(ctl: Run, secure: Path) -> None:
    """With both ways out in the hint; --yes makes a new CA, --renew keeps it."""
    folder = folder_of(ctl("tls", "init", "-p", str(secure), "-o", "json"))
    ca = (folder / "ca.crt").read_bytes()

    again = ctl("tls", "init", "-p", str(secure), "-o", "json")

    assert (again.status, again.error["code"]) == (4, "refused")
    assert "--renew" in again.error["hint"]
    assert "--yes" in again.error["hint"]
    assert (folder / "ca.crt").read_bytes() == ca
    assert ctl("tls", "init", "-p", str(secure), "--renew").status == 0
    assert (folder / "ca.crt").read_bytes() == ca
    assert ctl("tls", "init", "-p", str(secure), "--renew", "--yes").status == 2
    assert ctl("tls", "init", "-p", str(secure), "--yes").status == 0
    assert (folder / "ca.crt").read_bytes() != ca


def test_a_dry_run_writes_nothing(ctl: Run, secure: Path) -> None:
    """It says where, and for whom."""
    planned = ctl("tls", "init", "-p", str(secure), "--dry-run", "-o", "json")

    assert planned.status == 0
    assert "127.0.0.1" in str(planned.data["hosts"])
    assert not folder_of(planned).exists()


def test_out_writes_for_another_machine(ctl: Run, secure: Path, home: Path) -> None:
    """The state folder stays without certificates, which `tls show` says."""
    made = ctl("tls", "init", "-p", str(secure), "--out", "pki", "--host", "10.1.2.3", "-q")

    assert made.status == 0
    assert (home / "pki" / "ca.crt").exists()
    shown = ctl("tls", "show", "-p", str(secure), "-o", "json")
    assert (shown.status, shown.error["code"]) == (5, "missing")


def test_show_warns_of_the_end(ctl: Run, secure: Path) -> None:
    """Within 30 days the status is 1, for a job that watches."""
    ctl("tls", "init", "-p", str(secure), "--days", "20")

    found = ctl("tls", "show", "-p", str(secure), "-o", "json")

    assert (found.status, found.envelope["status"]) == (1, "fail")
    assert "expires in" in str(found.data["warnings"])
    table = ctl("tls", "show", "-p", str(secure))
    assert "warning" in table.out


def test_a_profile_with_files_of_its_own(ctl: Run, secure: Path, home: Path) -> None:
    """They are shown, and `tls init` does not make others that nobody would use."""
    ctl("tls", "init", "-p", str(secure), "--out", "pki")
    given = "tls:\n  enabled: true\n  ca_file: pki/ca.crt\n  cert_file: pki/server.crt\n"
    text = secure.read_text().replace("tls: true\n", f"{given}  key_file: pki/server.key\n")
    secure.write_text(text)

    assert ctl("tls", "show", "-p", str(secure)).status == 0
    refused = ctl("tls", "init", "-p", str(secure), "-o", "json")
    assert (refused.status, refused.error["code"]) == (2, "usage")


@needs_tls_server
def test_deployed_renewed_and_reached_by_url(ctl: Run, secure: Path) -> None:
    """A deployment under TLS is renewed while it runs; a URL needs the CA, and says so."""
    folder = folder_of(ctl("tls", "init", "-p", str(secure), "-o", "json"))
    deployed = ctl("deploy", "-p", str(secure), "-o", "json")
    assert deployed.status == 0, deployed.err
    url = str(deployed.data["url"])
    assert url.startswith("rediss://")
    assert ctl("health", "-p", str(secure)).status == 0

    renewed = ctl("tls", "init", "-p", str(secure), "--renew", "-o", "json")

    assert renewed.data["reloaded"] == [str(deployed.data["name"])]
    health = ctl("health", "--url", url, "--cacert", str(folder / "ca.crt"), "-o", "json")
    checks = health.data["checks"]
    assert isinstance(checks, list)
    assert [check["verdict"] for check in checks if check["name"] == "tls"] == ["ok"]
    untrusted = ctl("health", "--url", url, "-o", "json")
    assert (untrusted.status, untrusted.error["code"]) == (3, "tls")
    assert "--cacert" in untrusted.error["hint"]
    plain = ctl("health", "--url", url.replace("rediss", "redis"), "-o", "json")
    assert (plain.status, plain.error["code"]) == (3, "tls")
    assert "private" not in json.dumps(renewed.envelope).lower()


def test_the_environment_names_the_ca(
    ctl: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For URLs by TLS; a plain one goes without, and a flag for it is refused."""
    monkeypatch.setenv("VALKEYCTL_CACERT", "nowhere.crt")
    port = free_port()

    named = ctl("health", "--url", f"rediss://127.0.0.1:{port}", "-o", "json")
    plain = ctl("health", "--url", f"redis://127.0.0.1:{port}", "-o", "json")
    flag = ctl("health", "--url", f"redis://127.0.0.1:{port}", "--cacert", "x", "-o", "json")

    assert plain.error["code"] == "unreachable"
    assert flag.error["code"] == "usage"
    assert named.error["code"] in {"tls", "unreachable"}
    half = ctl("health", "--url", f"rediss://127.0.0.1:{port}", "--client-cert", "x")
    assert half.status == 2
