"""`down` where the profile is of no help any more."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, servers


def test_a_deployment_goes_by_its_name_when_its_profile_is_gone(
    ctl: Run, profile: Path, tmp_path: Path
) -> None:
    """What was written down when it was deployed is enough; data and record go too."""
    name = ctl("deploy", "-p", str(profile), "-o", "name").out.strip()
    profile.unlink()

    done = ctl("down", "--purge", "--yes", "-p", name, "-o", "json")

    assert (done.status, done.data["stopped"], done.data["purged"]) == (0, True, True)
    assert f"{name} is taken down as it was deployed last" in done.err
    assert not servers(tmp_path)


def test_a_broken_profile_still_names_its_deployment(
    ctl: Run, profile: Path, tmp_path: Path
) -> None:
    """By the name in the file, not by that of the file: another may be deployed as that."""
    assert ctl("deploy", "-p", str(profile)).status == 0
    profile.write_text(f"{profile.read_text()}eviction: sometimes\n")

    done = ctl("down", "-p", str(profile))

    assert done.status == 0
    assert "eviction" in done.err
    assert not servers(tmp_path)


def test_a_file_that_names_nothing_stops_nothing(ctl: Run, profile: Path, tmp_path: Path) -> None:
    """What is deployed is named, to choose from."""
    name = ctl("deploy", "-p", str(profile), "-o", "name").out.strip()
    text = profile.read_text()
    profile.write_text("name: [")

    done = ctl("down", "-p", str(profile), "-o", "json")

    assert done.status == 2
    assert f"deployed are {name}" in done.error["hint"]
    assert servers(tmp_path)
    profile.write_text(text)
