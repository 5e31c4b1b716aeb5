"""One call from a profile to what deploys it: facts, digest, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.golden import PROFILES
from valkeyctl.errors import ProfileError
from valkeyctl.profile import Profile, load
from valkeyctl.profile.reference import reference
from valkeyctl.render import POD, build, render
from valkeyctl.render.artefacts import HASH_LABEL

# What the schema knows and this version cannot deploy, with the key that is refused.
NOT_YET: dict[str, dict[str, object]] = {
    "exporter.enabled": {"exporter": True},
}


def make(**fields: object) -> Profile:
    """Return a profile with these fields."""
    return Profile.model_validate({"name": "x", **fields})


def test_a_render_carries_what_a_runtime_needs() -> None:
    """Nobody has to read the profile again, or parse a rendered file."""
    artefacts = render(
        make(publish="localhost:7000", app="y", persistence="aof", stop={"grace": 5}, pull="never")
    )

    assert (artefacts.name, artefacts.app) == ("x", "y")
    # podman takes addresses, no names
    assert (artefacts.host, artefacts.port) == ("127.0.0.1", 7000)
    assert (artefacts.image, artefacts.pull) == ("docker.io/valkey/valkey:8.1", "never")
    assert (artefacts.stop_grace, artefacts.keeps_data) == (5.0, True)
    assert (artefacts.tls, artefacts.auth) == (False, False)
    assert (artefacts.pod, artefacts.container) == ("x-valkey", "x-valkey-server")
    assert artefacts.volume == "x-data"


@pytest.mark.parametrize(("key", "fields"), NOT_YET.items(), ids=NOT_YET.keys())
def test_what_cannot_be_deployed_yet_is_refused_by_name(
    key: str, fields: dict[str, object]
) -> None:
    """No field is ignored: the operator learns that there is no exporter."""
    with pytest.raises(ProfileError) as caught:
        render(make(**fields))

    assert caught.value.exit_code == 2
    assert key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize("key", NOT_YET)
def test_the_reference_marks_what_is_refused(key: str) -> None:
    """Nobody has to try a field to learn that it is not there yet."""
    section, _, field = key.rpartition(".")
    part = reference().split(f"\n## {section or 'Top level'}\n")[1].split("\n## ")[0]

    assert f"| `{field}` *(not yet)* |" in part
    assert reference().count("*(not yet)*") == len(NOT_YET)


def test_a_refusal_names_the_line(tmp_path: Path) -> None:
    """All that cannot be deployed is said at once, each at its place."""
    path = tmp_path / "p.yaml"
    path.write_text("name: x\nexporter: true\ntopology: cluster\npersistence:\n  mode: none\n")

    with pytest.raises(ProfileError) as caught:
        render(load(path))

    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (2, "exporter.enabled"),
        (5, "persistence.mode"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "docker.io/valkey/valkey:9"},
        {"publish": "127.0.0.1:7000"},
        {"memory": {"limit": "1Gi"}},
        {"stop": {"grace": 30}},
        {"security": {"pids": 99}},
        {"security": {"production": True}},
        {"probes": {"failures": 9}},
    ],
)
def test_the_digest_changes_with_whatever_is_deployed(fields: dict[str, object]) -> None:
    """A running server is as its profile says exactly when the digests agree."""
    assert render(make(**fields)).digest != render(make()).digest


def test_the_digest_is_the_label_of_the_pod() -> None:
    """A runtime reads from a running pod what it was started from."""
    artefacts = render(make())

    labels = [
        document["metadata"]["labels"][HASH_LABEL]
        for document in yaml.safe_load_all(artefacts.files[POD])
    ]

    assert labels == [artefacts.digest] * 2


def test_an_upgrade_of_valkeyctl_alone_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version of this tool must not restart every server."""
    before = render(make())

    monkeypatch.setattr("valkeyctl.render.container.__version__", "99.0.0")
    after = render(make())

    assert after.files != before.files
    assert after.digest == before.digest


def test_the_digest_sees_an_edited_file() -> None:
    """A line that somebody added by hand counts."""
    artefacts = render(make())
    edited = {**artefacts.files, POD: f"{artefacts.files[POD]}# edited\n"}

    assert replace(artefacts, files=edited).digest != artefacts.digest


def test_a_field_that_only_describes_changes_nothing() -> None:
    """Namespaces, limits and bench settings need no restart."""
    plain = render(make())

    other = render(
        make(description="y", bench={"users": 3}, namespaces={"a": {"ttl": 1}}, runtime="podman")
    )

    assert other == plain


def test_rendering_opens_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render is a pure function of its profile."""
    profile = load(PROFILES["default"])

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr("os.open", refuse)

    assert build.render(profile).files
