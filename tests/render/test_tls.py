"""A profile that speaks TLS: no plain port, and every file that says so says the same."""

from __future__ import annotations

import pytest
import yaml

from valkeyctl.profile import Profile
from valkeyctl.render import CONF, POD, Artefacts, render
from valkeyctl.render.tls import TLS_FILES

FOLDER = "/etc/valkeyctl-secrets"


def rendered(**tls: object) -> Artefacts:
    """Return the artefacts of a profile with TLS."""
    return render(Profile.model_validate({"name": "prod", "tls": {"enabled": True, **tls}}))


def pod_of(artefacts: Artefacts) -> dict[str, dict[str, object]]:
    """Return the Pod of pod.yaml."""
    _, pod = yaml.safe_load_all(artefacts.files[POD])
    assert isinstance(pod, dict)
    return pod


def test_only_tls_is_listened_for() -> None:
    """The plain port is closed, and replication does not fall back to it."""
    found = rendered().directives

    assert (found["port"], found["tls-port"]) == ("0", "6379")
    assert (found["tls-replication"], found["tls-auth-clients"]) == ("yes", "optional")
    assert {found[f"tls-{what}-file"] for what in ("ca-cert", "cert", "key")} == {
        f"{FOLDER}/{file}" for file in TLS_FILES
    }


def test_the_protocols_are_one_argument() -> None:
    """Without quotes the server would take them for two, and end."""
    lines = rendered().files[CONF].splitlines()

    assert 'tls-protocols "TLSv1.2 TLSv1.3"' in lines


def test_without_tls_no_word_of_it_stands_there() -> None:
    """A server that is built without TLS must start from it."""
    plain = render(Profile(name="prod"))

    assert not [name for name in plain.directives if name.startswith("tls")]
    assert "tls" not in plain.files[POD]
    assert plain.material == ()


@pytest.mark.parametrize(("asked", "shows"), [("optional", False), ("no", False), ("yes", True)])
def test_the_probe_speaks_tls(asked: str, shows: bool) -> None:
    """It verifies the server, and shows the server's certificate where one is asked for."""
    container = pod_of(rendered(auth_clients=asked))["spec"]["containers"][0]  # type: ignore[index]
    command = container["livenessProbe"]["exec"]["command"]

    assert command[:4] == ["valkey-cli", "--tls", "--cacert", f"{FOLDER}/ca.crt"]
    assert (f"{FOLDER}/server.key" in command) == shows
    assert command[-4:] == ["-e", "-p", "6379", "ping"]


def test_the_files_are_mounted_and_the_pod_tells_of_them() -> None:
    """As names only; how to speak to the pod is known before its profile is."""
    artefacts = rendered()
    pod = pod_of(artefacts)

    assert artefacts.material == TLS_FILES
    assert pod["metadata"]["labels"]["valkeyctl.tls"] == "true"  # type: ignore[index]
    assert "prod-secrets" in artefacts.files[POD]
    assert "PRIVATE" not in "".join(artefacts.files.values())


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
def test_the_servers_of_a_topology_speak_tls_with_one_another(topology: str) -> None:
    """Replication, the bus of a Cluster, and sentinels alike."""
    profile = Profile.model_validate(
        {
            "name": "prod",
            "topology": topology,
            "tls": True,
            "persistence": "aof",
            "replication": {"replicas": 1},
        }
    )

    units = render(profile).units

    for unit in units:
        text = "\n".join(unit.files.values())
        assert unit.material == TLS_FILES
        assert "\nport 0\n" in text
        assert "\ntls-replication yes\n" in text
        assert ("\ntls-cluster yes\n" in text) == (topology == "cluster")
    ports = {"\ntls-port 26379\n" in "\n".join(unit.files.values()) for unit in units}
    assert ports == ({True, False} if topology == "sentinel" else {False})
