"""What ``auth: true`` changes in the rendered files, none of which holds a secret."""

from __future__ import annotations

import yaml
from pydantic import SecretStr

from tests.runtime.conftest import unique_profile
from valkeyctl.profile import Profile
from valkeyctl.render import COMPOSE, CONF, POD, render


def guarded(**fields: object) -> Profile:
    """Return a profile with users."""
    return unique_profile(auth=True, **fields)


def test_the_server_reads_its_users_from_the_mounted_file() -> None:
    """And says why it may do without protected mode."""
    artefacts = render(guarded())

    conf = artefacts.files[CONF]
    assert artefacts.directives["aclfile"] == "/etc/valkeyctl-secrets/users.acl"
    assert artefacts.material == ("users.acl",)
    assert "no command is taken without a login (aclfile)\nprotected-mode no" in conf
    assert "requirepass" not in conf


def test_the_pod_claims_the_volume_of_secrets_read_only() -> None:
    """By name: the document of a claim, or a Secret, would not work on Podman 4."""
    profile = guarded()

    kinds = list(yaml.safe_load_all(render(profile).files[POD]))

    spec = kinds[1]["spec"]
    assert [one["kind"] for one in kinds] == ["ConfigMap", "Pod"]
    claim = {"claimName": f"{profile.name}-secrets", "readOnly": True}
    assert {"name": "secrets", "persistentVolumeClaim": claim} in spec["volumes"]
    mount = {"name": "secrets", "mountPath": "/etc/valkeyctl-secrets", "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]


def test_the_probe_has_a_user_of_its_own() -> None:
    """One flat list, as Podman 4 needs it, and nothing worth hiding in it."""
    profile = guarded()

    pod = list(yaml.safe_load_all(render(profile).files[POD]))[1]

    command = pod["spec"]["containers"][0]["livenessProbe"]["exec"]["command"]
    assert " ".join(command).startswith("valkey-cli --no-auth-warning --user probe --pass probe ")
    compose = yaml.safe_load(render(profile).files[COMPOSE])
    assert compose["services"]["server"]["healthcheck"]["test"] == ["CMD", *command]


def test_compose_wants_the_volume_to_be_filled_before() -> None:
    """An empty one that it made by itself would end the server; the file says how to fill it."""
    profile = guarded()

    text = render(profile).files[COMPOSE]

    project = yaml.safe_load(text)
    assert project["volumes"]["secrets"] == {"name": f"{profile.name}-secrets", "external": True}
    assert f"valkeyctl secrets export -p {profile.name} | podman volume import" in text


def test_a_password_of_the_profile_is_in_no_file() -> None:
    """Nor does it change one: the same artefacts, whatever the password is."""
    profile = guarded()
    auth = {"enabled": True, "password": SecretStr("very-secret")}
    given = Profile.model_validate({**profile.model_dump(exclude_unset=True), "auth": auth})

    artefacts = render(given)

    assert "very-secret" not in str(artefacts)
    assert artefacts.digest == render(profile).digest


def test_without_users_nothing_is_mounted() -> None:
    """A cache of a developer needs no volume more."""
    artefacts = render(unique_profile())

    assert artefacts.material == ()
    assert "secrets" not in "".join(artefacts.files.values())
    assert "without a password on loopback only" in artefacts.files[CONF]
