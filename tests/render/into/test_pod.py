"""A server in a pod that somebody else wrote: what is added, what is kept, what is refused."""

from __future__ import annotations

from typing import cast

import pytest
import yaml

from valkeyctl.errors import UsageError
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.into import merge

Tree = dict[str, object]
APP = """\
# The shop.   Ask Eve before you change the port.
apiVersion: v1
kind: Pod
metadata:
    name:   shop     # four blanks, three in the gap
    labels: {app: "shop", 'tier': web}
spec:
    containers:
    -   name: web
        image: "docker.io/library/nginx:1.27"   # pinned
        env: &env
        -   {name: GREETING, value: 'on'}

        ports:
        -   containerPort: 80
            hostPort:      8080
    -   name: worker
        image: docker.io/library/nginx:1.27
        env: *env
    # the last word
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{port: 80}]}
"""


def artefacts(**fields: object) -> Artefacts:
    """Return the render of a profile with these fields."""
    return render(Profile.model_validate({"name": "x", **fields}))


def spec(text: str) -> Tree:
    """Return the spec of the first pod in *text*."""
    pods = [one for one in yaml.safe_load_all(text) if one and one["kind"] == "Pod"]
    return cast("Tree", pods[0]["spec"])


def names(found: object) -> list[str]:
    """Return the names of containers or volumes."""
    return [str(one["name"]) for one in cast("list[Tree]", found)]


def test_the_server_comes_with_its_volumes_probe_and_configuration() -> None:
    """It is the container that `deploy` runs, under a name that fits beside others."""
    own = artefacts()
    config, rendered = yaml.safe_load_all(own.files["pod.yaml"])

    merged = merge(APP, own)

    found = spec(merged.text)
    assert names(found["containers"]) == ["web", "worker", "x-valkey"]
    server = cast("list[Tree]", found["containers"])[-1]
    (original,) = rendered["spec"]["containers"]
    for key in ("args", "image", "livenessProbe", "ports", "resources", "securityContext"):
        assert server[key] == original[key]
    assert names(server["volumeMounts"]) == names(found["volumes"])
    assert names(found["volumes"]) == ["x-valkey-conf", "x-valkey-data"]
    *_, added = yaml.safe_load_all(merged.text)
    assert added["data"] == config["data"]
    assert (merged.kind, merged.target) == ("pod", "shop")


def test_every_line_of_the_file_is_kept_as_it_is() -> None:
    """Comments, order, quotes, anchors, gaps and indentation: only lines are added."""
    merged = merge(APP, artefacts()).text.splitlines()

    rest = iter(merged)
    assert all(line in rest for line in APP.splitlines())


def test_a_second_run_changes_nothing() -> None:
    """Whoever runs it in CI sees no difference."""
    once = merge(APP, artefacts()).text

    assert merge(once, artefacts()).text == once


def test_a_later_profile_changes_what_was_merged_before() -> None:
    """The configuration of the earlier render is replaced; its document does not pile up."""
    once = merge(APP, artefacts()).text
    changed = artefacts(eviction="noeviction", memory={"limit": "1Gi"})

    twice = merge(once, changed).text

    configs = [one for one in yaml.safe_load_all(twice) if one["kind"] == "ConfigMap"]
    assert len(configs) == 1
    assert configs[0]["data"]["valkey.conf"] == changed.files["valkey.conf"]
    volumes = cast("list[Tree]", spec(twice)["volumes"])
    assert volumes[0]["configMap"] == {"name": configs[0]["metadata"]["name"]}
    assert twice == merge(APP, changed).text
    assert merge(twice, artefacts()).text == once


def test_configurations_that_piled_up_go() -> None:
    """One document is left of several; those of others are not touched."""
    once = merge(APP, artefacts()).text
    config = once[once.rindex("---\n") :]
    foreign = "---\nkind: ConfigMap\nmetadata: {name: theirs}\n"

    tidy = merge(once + foreign + config + config, artefacts(eviction="noeviction")).text

    assert tidy == merge(once, artefacts(eviction="noeviction")).text + foreign


def test_a_volume_that_the_profile_no_longer_has_goes() -> None:
    """Nothing of ours is left over; what others mount stays."""
    secured = merge(APP, artefacts(auth=True)).text
    assert names(spec(secured)["volumes"])[-1] == "x-valkey-secrets"

    assert merge(secured, artefacts()).text == merge(APP, artefacts()).text


def test_two_servers_fit_into_one_pod_when_their_ports_differ_outside() -> None:
    """They cannot: inside of a pod both listen on 6379."""
    once = merge(APP, artefacts()).text
    other = render(Profile.model_validate({"name": "y", "publish": "127.0.0.1:7000"}))

    with pytest.raises(UsageError, match="container x-valkey of pod shop listens on port 6379 too"):
        merge(once, other)


def test_windows_line_ends_are_kept() -> None:
    """No line of the result has another end."""
    text = merge(APP.replace("\n", "\r\n"), artefacts()).text

    assert text.count("\n") == text.count("\r\n")
    assert text.replace("\r\n", "\n") == merge(APP, artefacts()).text


@pytest.mark.parametrize(
    "text",
    [
        APP.rstrip("\n"),
        APP.split("---", maxsplit=1)[0],
        f"---\n{APP}---\n",
        f"%YAML 1.1\n---\n{APP}",
        "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: w, image: i}]}\n",
        "{kind: Pod, metadata: {name: a}, spec: {containers: [{name: w, image: i}], volumes: []}}",
        '{"kind": "Pod", "spec": {"containers": [\n {"name": "w"}\n]}}\n',
        "kind: Pod\nspec:\n  containers:\n    - name: w\n  volumes:\n  restartPolicy: Never\n",
        "kind: Pod\nspec:\n  volumes: []\n  containers:\n  - name: w\n    command:\n      - |\n"
        "        # a script\n        # that ends in comments\n\n# end\n",
        "kind: Pod\nspec:\n  containers:\n  - name: w\n    env: &e [{name: A}]\n  - name: v\n"
        "    env: *e\n# end\n",
        "kind: Pod\nspec:\n  containers:\n  -\n    name: w\n    args: [a,\n      b,  # c\n    ]\n",
        "kind: Pod\nmetadata:\n  annotations: {a: 'b'}\nspec:\n  containers: [{name: w}]\n",
        "kind: Pod\nspec:\n  containers:\n  - name: w\n    text: >-\n      folded\n\n      text",
        "kind: Pod\nspec:\n  containers:\n  - name: w\n    t: |\n      # one\n\n  dnsPolicy: A\n",
    ],
)
def test_every_layout_is_kept(text: str) -> None:
    """Flow and block, gaps, missing ends, literal texts that look like comments."""
    before = [one for one in yaml.safe_load_all(text) if one]

    merged = merge(text, artefacts()).text

    after = [one for one in yaml.safe_load_all(merged) if one]
    server = names(spec(merged)["containers"])[-1]
    assert server == "x-valkey"
    for old, new in zip(before, after, strict=False):
        if old["kind"] == "Pod":
            new["spec"]["containers"].pop()
            new["spec"].pop("volumes")
            old["spec"].pop("volumes", None)
            annotations = new["metadata"].pop("annotations")
            annotations.pop("valkeyctl.merged/x")
            kept = old.get("metadata", {}).pop("annotations", {})
            assert annotations == kept
            old.setdefault("metadata", {})
        assert new == old
    assert merge(merged, artefacts()).text == merged


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2\n", "not YAML: line"),
        ("\tkind: Pod\n", "not YAML: line"),
        ("", "there is no Pod"),
        ("# nothing\n", "there is no Pod"),
        ("- kind: Pod\n", "there is no Pod"),
        ("kind: Service\n", "there is no Pod"),
        ("kind: Pod\nspec: 7\n", "spec is no mapping"),
        ("kind: Pod\nspec: {containers: 7}\n", "containers is no list"),
        (f"{APP}---\n{APP.replace('shop', 'bank')}", "2 pods in it: shop, bank"),
        (APP.replace("containerPort: 80", "containerPort: 6379"), "listens on port 6379 too"),
        (APP.replace("hostPort:      8080", "hostPort: 6379"), "publishes port 6379 too"),
        (APP.replace("worker", "x-valkey"), "x-valkey that valkeyctl did not put there"),
        (APP.replace("spec:\n", "spec:\n    hostNetwork: true\n", 1), "the machine's own network"),
        (
            APP.replace("spec:\n", "spec:\n    volumes: [{name: x-valkey-data}]\n", 1),
            "volume x-valkey-data that valkeyctl did not put there",
        ),
        (
            "kind: Pod\nbase: &b [{name: w}]\nspec: {containers: *b}\n",
            "spec.containers is an alias",
        ),
        (
            "kind: Pod\nspec: {containers: &b [{name: w}]}\ncopy: *b\n",
            "spec.containers is used by an alias too",
        ),
        (
            "kind: Pod\nbase: &b {containers: [{name: w}]}\nspec: {<<: *b}\n",
            "comes in through <<",
        ),
    ],
)
def test_what_cannot_be_merged_is_refused(text: str, says: str) -> None:
    """Nothing is guessed, and nothing is overwritten."""
    with pytest.raises(UsageError, match=says):
        merge(text, artefacts())


def test_a_port_of_another_protocol_or_address_is_no_clash() -> None:
    """Only what both would listen on is one."""
    udp = APP.replace("containerPort: 80", "containerPort: 6379\n            protocol: UDP")
    elsewhere = APP.replace("hostPort:      8080", "hostPort: 6379\n            hostIP: 192.0.2.1")

    assert "x-valkey" in names(spec(merge(udp, artefacts()).text)["containers"])
    assert "x-valkey" in names(spec(merge(elsewhere, artefacts()).text)["containers"])


def test_one_of_several_pods_is_named() -> None:
    """The others are left alone."""
    two = f"{APP}---\n{APP.replace('name:   shop', 'name: bank').replace('8080', '8081')}"

    merged = merge(two, artefacts(), pod="bank")

    pods = [one for one in yaml.safe_load_all(merged.text) if one["kind"] == "Pod"]
    assert [len(pod["spec"]["containers"]) for pod in pods] == [2, 3]
    with pytest.raises(UsageError, match="there is no pod casino"):
        merge(two, artefacts(), pod="casino")


def test_the_template_of_a_deployment_publishes_no_port_of_the_machine() -> None:
    """Its pods are many, and are reached by a Service."""
    text = (
        "kind: Deployment\nmetadata: {name: shop}\nspec:\n  template:\n    metadata:\n"
        "      labels: {a: b}\n    spec:\n      containers:\n      - name: web\n"
    )

    merged = merge(text, artefacts(persistence="aof"))

    (found, _) = yaml.safe_load_all(merged.text)
    server = found["spec"]["template"]["spec"]["containers"][-1]
    assert server["ports"] == [{"containerPort": 6379, "protocol": "TCP"}]
    assert "valkeyctl.merged/x" in found["spec"]["template"]["metadata"]["annotations"]
    assert any("x-data" in note for note in merged.notes)
    assert merge(merged.text, artefacts(persistence="aof")).text == merged.text


def test_a_grace_too_short_for_the_server_is_said() -> None:
    """The pod's time to end is its owner's to choose."""
    notes = merge(APP, artefacts(persistence="aof")).notes

    assert notes == (
        "terminationGracePeriodSeconds of pod shop is 30; the server may need 60 to save its data",
    )
    assert merge(APP, artefacts(persistence="none")).notes == ()


def test_our_own_pod_is_not_merged_into() -> None:
    """It is rendered as a whole."""
    with pytest.raises(UsageError, match="is a deployment of valkeyctl by itself"):
        merge(artefacts().files["pod.yaml"], artefacts())


def test_the_merged_pod_is_not_taken_for_a_deployment() -> None:
    """`valkeyctl down` finds its own by a label; this one has none."""
    assert "valkeyctl.profile" not in merge(APP, artefacts()).text


def test_a_topology_is_refused() -> None:
    """Several servers in one pod are no topology."""
    from dataclasses import replace

    with pytest.raises(UsageError, match="a cluster topology is several servers"):
        merge(APP, replace(artefacts(), topology="cluster"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("metadata: [1]\nspec: {containers: []}\n", "metadata is no mapping"),
        ("metadata: shop\nspec: {containers: []}\n", "metadata is no mapping"),
        ("metadata: {labels: [a]}\nspec: {containers: []}\n", "labels is no mapping"),
        ("metadata: {labels: a}\nspec: {containers: []}\n", "labels is no mapping"),
        ("metadata: {annotations: [a]}\nspec: {containers: []}\n", "annotations is no mapping"),
        ("spec: {containers: x}\n", "containers is no list"),
        ("metadata: {name: x}\n", "spec is missing"),
        ("spec: {containers: []}\nwhen: 2026-13-45\n", "not YAML: month must be in 1..12"),
    ],
)
def test_a_pod_that_is_none_is_told_by_its_key(wrong: str, words: str) -> None:
    """Whatever stands where a mapping should."""
    with pytest.raises(UsageError, match=words):
        merge(f"apiVersion: v1\nkind: Pod\n{wrong}", artefacts())


def test_anchors_on_the_way_to_the_place_are_kept() -> None:
    """A mapping or list with an anchor begins on the line of its key, and is one all the same."""
    text = (
        "kind: Pod\nmetadata: &meta\n  name: shop\nspec: &spec\n"
        "  containers: &all # of them\n    # the only one\n    - &web\n      name: web\n"
    )

    merged = merge(text, artefacts()).text

    assert all(line in merged.splitlines() for line in text.splitlines())
    assert names(spec(merged)["containers"]) == ["web", "x-valkey"]
    assert merge(merged, artefacts()).text == merged


def test_a_small_file_that_stands_for_a_large_one_is_read_at_once() -> None:
    """Aliases of aliases: a kilobyte that would be a terabyte when written out."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 14)]
    bomb = "kind: Pod\n" + "\n".join(rows) + "\nspec:\n  containers:\n  - name: w\n"

    assert "x-valkey" in merge(bomb, artefacts()).text
