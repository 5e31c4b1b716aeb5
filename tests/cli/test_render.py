"""`valkeyctl render`: targets, and merging into a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run

POD = "kind: Pod\nmetadata:\n  name: shop\nspec:\n  containers:\n  - name: web\n"


def test_each_target_is_its_own_files(ctl: Run) -> None:
    """Without a target it is what `deploy` works from; `all` is everything."""

    def files(*argv: str) -> set[str]:
        return set(ctl("render", *argv, "-o", "name").out.split())

    core = {"valkey.conf", "pod.yaml", "podman-compose.yaml"}
    quadlet = {"default-valkey.container", "default-data.volume", "default-valkey.conf"}
    assert files() == core
    assert files("--target", "conf") == {"valkey.conf"}
    assert files("--target", "quadlet") == quadlet
    assert files("--target", "kubernetes") == {"kubernetes.yaml"}
    assert files("--target", "all") == core | quadlet | {"kubernetes.yaml"}


def test_a_target_is_written_and_checked(ctl: Run, home: Path) -> None:
    """As the other files are."""
    assert ctl("render", "--target", "all", "--out", "out").status == 0
    assert ctl("render", "--target", "all", "--out", "out", "--check").status == 0
    (home / "out/kubernetes.yaml").write_text("changed\n")

    checked = ctl("render", "--target", "all", "--out", "out", "--check")

    assert checked.status == 1
    assert "+++ kubernetes.yaml (rendered)" in checked.out


def test_what_is_written_can_be_read_by_the_server(ctl: Run, home: Path) -> None:
    """It is another user in its container; a mode that was set by hand stays."""
    before = os.umask(0o077)
    try:
        ctl("render", "--out", "out")
        (home / "out" / "pod.yaml").chmod(0o600)
        (home / "out" / "pod.yaml").write_text("old")
        ctl("render", "--out", "out")
    finally:
        os.umask(before)

    modes = {file.name: file.stat().st_mode & 0o777 for file in (home / "out").iterdir()}
    assert modes == {"valkey.conf": 0o644, "podman-compose.yaml": 0o644, "pod.yaml": 0o600}


def test_printed_kubernetes_is_the_file(ctl: Run) -> None:
    """`render --target kubernetes | kubectl apply -f -` works."""
    printed = ctl("render", "--target", "kubernetes").out

    assert "StatefulSet" in {one["kind"] for one in yaml.safe_load_all(printed)}


def test_dry_run_with_out_writes_nothing(ctl: Run, home: Path) -> None:
    """It shows what would be written, and that is no failure."""
    done = ctl("render", "--out", "out", "--dry-run")

    assert done.status == 0
    assert "+++ pod.yaml (rendered)" in done.out
    assert not (home / "out").exists()


def test_a_server_is_merged_into_a_pod(ctl: Run, home: Path) -> None:
    """Look, do, do again, check: for a person."""
    (home / "app.yaml").write_text(POD)

    looked = ctl("render", "--into", "app.yaml", "--dry-run")
    checked = ctl("render", "--into", "app.yaml", "--check")
    done = ctl("render", "--into", "app.yaml")
    again = ctl("render", "--into", "app.yaml")
    last = ctl("render", "--into", "app.yaml", "--check")

    assert [one.status for one in (looked, checked, done, again, last)] == [0, 1, 0, 0, 0]
    assert "+  - args:" in looked.out
    assert looked.out.endswith("app.yaml  would be merged\n")
    assert done.out == "app.yaml  merged\n"
    assert again.out == "app.yaml  has default in pod shop already\n"
    assert "terminationGracePeriodSeconds of pod shop is 30" in done.err


def test_a_merge_has_an_envelope(ctl: Run, home: Path) -> None:
    """For programs."""
    (home / "app.yaml").write_text(POD)

    checked = ctl("render", "--into", "app.yaml", "--check", "-o", "json")
    done = ctl("render", "--into", "app.yaml", "--pod", "shop", "-o", "json")

    assert (checked.envelope["status"], checked.data["written"]) == ("fail", False)
    assert (done.envelope["status"], done.data["written"]) == ("ok", True)
    assert (done.data["into"], done.data["target"]) == ("pod", "shop")


@pytest.mark.parametrize(
    "argv",
    [
        ["--into", "app.yaml", "--out", "x"],
        ["--into", "app.yaml", "--target", "pod"],
        ["--pod", "shop"],
        ["--dry-run"],
        ["--check", "--dry-run"],
        ["--into", "app.yaml", "--pod", "bank"],
        ["--into", "text"],
    ],
)
def test_what_cannot_be_meant_is_said(ctl: Run, home: Path, argv: list[str]) -> None:
    """Status 2, an envelope, and no file changed."""
    (home / "app.yaml").write_text(POD)
    (home / "text").write_text("just text\n")

    done = ctl("render", *argv, "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")
    assert done.error["hint"]
    assert (home / "app.yaml").read_text() == POD


def test_a_missing_file_is_named(ctl: Run) -> None:
    """Status 5, as for every file that cannot be read."""
    done = ctl("render", "--into", "no.yaml")

    assert done.status == 5
    assert "no.yaml cannot be read: No such file" in done.err
