"""kubernetes.yaml: valid for the API, hardened, and without a secret."""

from __future__ import annotations

from typing import cast

import kubernetes_validate
import pytest
import yaml

from tests.render.kubernetes.pods import Tree, documents, only, tree
from valkeyctl.errors import ProfileError
from valkeyctl.profile import Profile
from valkeyctl.render.artefacts import HASH_LABEL, digest_of
from valkeyctl.render.targets import extra

# The oldest and the newest release of Kubernetes whose objects it is checked against.
RELEASES = ("1.27", "1.37")
SHAPES: dict[str, dict[str, object]] = {
    "standalone": {},
    "persistent": {"persistence": "rdb+aof", "security": {"production": True}},
    "secure": {"auth": True, "tls": True},
    "sentinel": {"topology": "sentinel", "persistence": "aof"},
    "cluster": {"topology": "cluster", "persistence": "rdb"},
    "volatile cluster": {"topology": "cluster", "replication": {"replicas": 0}},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_valid_for_the_api(shape: str, release: str) -> None:
    """Strictly: a key that the API does not know is an error."""
    for found in documents(**SHAPES[shape]):
        kubernetes_validate.validate(found, release, strict=True)


def test_the_schema_finds_a_wrong_key() -> None:
    """The check above can fail."""
    found = only(documents(), "StatefulSet")
    tree(found, "spec")["replica"] = 1

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, RELEASES[-1], strict=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pod_fulfils_the_restricted_standard(shape: str) -> None:
    """As https://kubernetes.io/docs/concepts/security/pod-security-standards/ lists it."""
    for template in templates(documents(**SHAPES[shape])):
        spec = tree(template, "spec")
        pod = tree(spec, "securityContext")
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 999
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in items(spec, "volumes"))
        for container in items(spec, "containers"):
            security = tree(container, "securityContext")
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert tree(container, "resources", "limits")["memory"]


@pytest.mark.parametrize("shape", SHAPES)
def test_selectors_fit_the_pods_and_nothing_else(shape: str) -> None:
    """A Service or budget that selects the pods of another kind would break both."""
    found = documents(**SHAPES[shape])
    pods = [tree(one, "metadata")["labels"] for one in templates(found)]

    for one in found:
        if one["kind"] in {"PodDisruptionBudget", "StatefulSet"}:
            selector = tree(one, "spec", "selector")["matchLabels"]
        elif one["kind"] == "Service":
            selector = tree(one, "spec")["selector"]
        else:
            continue
        assert [labels for labels in pods if labels == selector] == [selector]


def test_what_the_api_refuses_to_change_does_not_change() -> None:
    """Selectors and claim templates carry no digest and no version."""
    claims = ("selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy")
    before, after = (
        tree(only(documents(persistence="aof", tuning={"databases": n}), "StatefulSet"), "spec")
        for n in (1, 2)
    )

    assert {key: before[key] for key in claims} == {key: after[key] for key in claims}
    assert before["template"] != after["template"]


@pytest.mark.parametrize(
    "changed", [{"eviction": "noeviction"}, {"image": "docker.io/valkey/valkey:9"}]
)
def test_pods_roll_when_what_they_run_changes(changed: dict[str, object]) -> None:
    """Another configuration is another ConfigMap, which an old pod never sees."""
    before, after = (tree(only(documents(**one), "StatefulSet"), "spec") for one in ({}, changed))

    assert before["template"] != after["template"]


def test_an_upgrade_of_valkeyctl_rolls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version stands on objects, not on pods."""
    before = only(documents(topology="sentinel", persistence="aof"), "StatefulSet", "x-valkey")
    monkeypatch.setattr("valkeyctl.render.kubernetes.workload.__version__", "99.0.0")

    after = only(documents(topology="sentinel", persistence="aof"), "StatefulSet", "x-valkey")

    assert before["spec"] == after["spec"]
    assert before["metadata"] != after["metadata"]


def test_the_digest_is_that_of_the_file() -> None:
    """Whoever reads a cluster can tell what it was rendered from."""
    text = extra(Profile(name="x"), "kubernetes")["kubernetes.yaml"]

    digests = {tree(one, "metadata", "labels")[HASH_LABEL] for one in yaml.safe_load_all(text)}

    assert len(digests) == 1
    blank = text.replace(str(*digests), "")
    assert digests == {digest_of({"kubernetes.yaml": blank})}


def test_liveness_takes_any_answer_and_readiness_only_pong() -> None:
    """A server that loads its data is not killed for it, and gets no traffic."""
    (container,) = items(
        tree(only(documents(), "StatefulSet"), "spec", "template", "spec"), "containers"
    )

    def command(probe: str) -> list[str]:
        return cast("list[str]", tree(container, probe, "exec")["command"])

    assert command("livenessProbe") == command("startupProbe")
    assert command("livenessProbe") == ["valkey-cli", "-p", "6379", "ping"]
    assert command("readinessProbe") == ["valkey-cli", "-e", "-p", "6379", "ping"]


def test_the_secret_is_named_and_not_rendered() -> None:
    """How to make it stands at the top."""
    text = extra(Profile.model_validate({"name": "x", **SHAPES["secure"]}), "kubernetes")
    found = list(yaml.safe_load_all(text["kubernetes.yaml"]))
    spec = tree(only(found, "StatefulSet"), "spec", "template", "spec")

    assert "Secret" not in {one["kind"] for one in found}
    volume = next(one for one in items(spec, "volumes") if "secret" in one)
    assert tree(volume, "secret") == {"secretName": "x-valkey-secrets", "defaultMode": 0o440}
    assert "kubectl create secret generic x-valkey-secrets" in text["kubernetes.yaml"]


def test_only_pods_with_the_label_may_connect() -> None:
    """And none of them to the ports that servers use among themselves."""
    spec = tree(only(documents(**SHAPES["cluster"]), "NetworkPolicy"), "spec")
    own, client = cast("list[Tree]", spec["ingress"])

    assert spec["policyTypes"] == ["Egress", "Ingress"]
    assert [port["port"] for port in items(own, "ports")] == [6379, 16379]
    assert [port["port"] for port in items(client, "ports")] == [6379]
    assert client["from"] == [{"podSelector": {"matchLabels": {"valkeyctl.client/x": "true"}}}]


def test_data_has_a_volume_exactly_where_it_is_kept() -> None:
    """A node of a Cluster has one anyway: it must remember who it is."""
    kept = only(documents(persistence="aof"), "StatefulSet")
    lost = only(documents(), "StatefulSet")
    node = only(documents(**SHAPES["volatile cluster"]), "StatefulSet")

    assert "volumeClaimTemplates" in tree(kept, "spec")
    assert "volumeClaimTemplates" not in tree(lost, "spec")
    assert "volumeClaimTemplates" in tree(node, "spec")


def test_another_script_is_another_job() -> None:
    """The API refuses to change a Job."""
    names = {
        str(tree(only(documents(**fields), "Job"), "metadata")["name"])
        for fields in (
            SHAPES["cluster"],
            {**SHAPES["cluster"], "image": "docker.io/valkey/valkey:9"},
            {**SHAPES["cluster"], "replication": {"replicas": 2}, "memory": {"limit": "2Gi"}},
        )
    }

    assert len(names) == 3


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("auth.enabled", {**SHAPES["cluster"], "auth": True}),
        ("tls.enabled", {**SHAPES["sentinel"], "tls": True}),
        ("persistence.mode", {"topology": "sentinel"}),
        ("exporter.enabled", {"exporter": True}),
        ("name", {"name": "1e3"}),
    ],
)
def test_what_it_cannot_express_is_refused(key: str, fields: dict[str, object]) -> None:
    """No field is ignored."""
    with pytest.raises(ProfileError) as caught:
        documents(**fields)

    assert key in [problem.key for problem in caught.value.problems]


def templates(found: list[Tree]) -> list[Tree]:
    """Return the pods of every StatefulSet and Job."""
    return [tree(one, "spec", "template") for one in found if one["kind"] in {"Job", "StatefulSet"}]


def items(parent: Tree, key: str) -> list[Tree]:
    """Return the list of mappings under *key*."""
    return cast("list[Tree]", parent[key])
