"""A server merged into a kube YAML file: container, volumes and the ConfigMap they mount."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import yaml

from valkeyctl.errors import UsageError
from valkeyctl.render.artefacts import POD, Artefacts
from valkeyctl.render.into.merge import MARK, Merged, Tree
from valkeyctl.render.into.splice import Path, Spliced

_TEMPLATES = ("Deployment", "StatefulSet")
_HOLDERS = ("Pod", *_TEMPLATES)
_CHECK = "Check the file: kubectl apply --dry-run=client -f FILE"
_DEFAULT_GRACE = 30  # seconds; what Kubernetes and Podman give a pod that names none
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - read from the file, not bound to


@dataclass(frozen=True)
class _Place:
    """A pod in a file.

    Attributes:
        document: Which document it stands in, from 0.
        kind: ``Pod``, or what holds its template.
        name: Of the pod, or of what holds its template.
        path: Where in the document ``metadata`` and ``spec`` of the pod are.
        pod: Those two.
    """

    document: int
    kind: str
    name: str
    path: Path
    pod: Tree

    @property
    def spec(self) -> Tree:
        """The pod's spec."""
        return _tree(self.pod, "spec")

    @property
    def others(self) -> list[Tree]:
        """All that runs in the pod beside one another: containers, and sidecars among the rest."""
        sidecars = [one for one in _items(self.spec, "initContainers") if one.get("restartPolicy")]
        return _items(self.spec, "containers") + sidecars


@dataclass(frozen=True)
class _Server:
    """What is merged.

    Attributes:
        container: The server's container, under a name that fits beside others.
        volumes: Those that it mounts, likewise.
        config: The ConfigMap.
    """

    name: str
    container: Tree
    volumes: list[Tree]
    config: Tree


def merge_pod(
    text: str, documents: Sequence[object], artefacts: Artefacts, pod: str | None
) -> Merged:
    """Return *text* with the server in one of its pods; see `merge`."""
    places = [place for place in map(_place, range(len(documents)), documents) if place]
    place = _choose(places, pod)
    metadata = _tree(place.pod, "metadata")
    labels = _tree(metadata, "labels") if metadata.get("labels") else {}
    if str(labels.get("valkeyctl.profile", "")):
        raise UsageError(
            f"pod {place.name} is a deployment of valkeyctl by itself",
            hint="Write it anew with --out, or name another pod with --pod",
        )
    server = _server(artefacts, in_template=place.kind != "Pod")
    mark = f"{MARK}/{artefacts.name}"
    _refuse_clashes(place, places, server, known=mark in _annotations(place.pod))

    merged = Spliced(text)
    at, path = place.document, place.path
    merged.put_item(at, (*path, "spec", "containers"), server.name, server.container)
    for volume in server.volumes:
        merged.put_item(at, (*path, "spec", "volumes"), str(volume["name"]), volume)
    kept = {str(volume["name"]) for volume in server.volumes}
    for volume in _items(place.spec, "volumes"):
        name = str(volume.get("name"))
        if name.startswith(f"{server.name}-") and name not in kept:
            merged.drop_item(at, (*path, "spec", "volumes"), name)
    _put_mark(merged, place, mark)
    _put_config(merged, documents, server.config, mark, artefacts.name)
    return Merged("pod", place.name, merged.text, notes=_notes(place, server, artefacts))


def _place(document: int, found: object) -> _Place | None:
    if not isinstance(found, dict):
        return None
    kind = str(found.get("kind"))
    name = str(_tree(found, "metadata").get("name", "")) if kind in _HOLDERS else ""
    if kind == "Pod":
        return _Place(document, kind, name, (), found)
    if kind in _TEMPLATES:
        template = _tree(_tree(found, "spec"), "template")
        return _Place(document, kind, name, ("spec", "template"), template)
    return None


def _choose(places: Sequence[_Place], pod: str | None) -> _Place:
    fitting = [place for place in places if pod in {None, place.name}]
    shown = ", ".join(place.name or "(without a name)" for place in places)
    if not places:
        raise UsageError(
            "there is no Pod, Deployment, StatefulSet or compose service in it",
            hint="Name a file for podman kube play, kubectl apply or podman-compose",
        )
    if not fitting:
        raise UsageError(f"there is no pod {pod} in it", hint=f"It has {shown}")
    if len(fitting) > 1:
        raise UsageError(
            f"there are {len(fitting)} pods in it: {shown}", hint="Say which with --pod NAME"
        )
    return fitting[0]


def _server(artefacts: Artefacts, *, in_template: bool) -> _Server:
    """Return what `deploy` would run, under names that fit into another's pod."""
    config, rendered = (
        cast("Tree", document) for document in yaml.safe_load_all(artefacts.files[POD])
    )
    name = f"{artefacts.name}-valkey"
    spec = _tree(rendered, "spec")
    container = copy.deepcopy(_items(spec, "containers")[0])
    container["name"] = name
    for mount in _items(container, "volumeMounts"):
        mount["name"] = f"{name}-{mount['name']}"
    if in_template:
        # Several pods on a machine cannot share its port; they are reached by a Service.
        for port in _items(container, "ports"):
            port.pop("hostIP", None)
            port.pop("hostPort", None)
    volumes = [{**volume, "name": f"{name}-{volume['name']}"} for volume in _items(spec, "volumes")]
    # Not the labels of a deployment: `valkeyctl down` must never take this pod for its own.
    config["metadata"] = {
        "name": _tree(config, "metadata")["name"],
        "annotations": {f"{MARK}/{artefacts.name}": "true"},
    }
    return _Server(name, container, volumes, config)


def _refuse_clashes(
    place: _Place, places: Sequence[_Place], server: _Server, *, known: bool
) -> None:
    if place.spec.get("hostNetwork"):
        raise UsageError(
            f"pod {place.name} uses the machine's own network, where a server would listen on "
            "every address",
            hint="Deploy the server by itself: valkeyctl deploy",
        )
    names = {str(one.get("name")) for one in _items(place.spec, "initContainers")}
    if not known:
        names |= {str(one.get("name")) for one in _items(place.spec, "containers")}
    if server.name in names:
        raise UsageError(
            f"pod {place.name} has a container {server.name} that valkeyctl did not put there",
            hint="Rename it, or give the profile another name",
        )
    volumes = {str(one.get("name")) for one in _items(place.spec, "volumes")}
    taken = volumes & {str(volume["name"]) for volume in server.volumes}
    if taken and not known:
        raise UsageError(
            f"pod {place.name} has a volume {min(taken)} that valkeyctl did not put there",
            hint="Rename it, or give the profile another name",
        )
    for own in _items(server.container, "ports"):
        for other in place.others:
            for port in _items(other, "ports"):
                if other.get("name") != server.name and _same_inside(port, own):
                    raise UsageError(
                        f"container {other.get('name')} of pod {place.name} listens on port "
                        f"{own['containerPort']} too; the containers of a pod share one network",
                        hint="Put the server into another pod: --pod NAME, or valkeyctl deploy",
                    )
        for neighbour in places:
            for other in neighbour.others:
                for port in _items(other, "ports"):
                    mine = neighbour is place and other.get("name") == server.name
                    if not mine and _same_outside(port, own):
                        raise UsageError(
                            f"container {other.get('name')} of pod {neighbour.name} publishes "
                            f"port {own['hostPort']} too",
                            hint="Change publish in the profile",
                        )


def _same_inside(port: Tree, own: Tree) -> bool:
    return str(port.get("containerPort")) == str(own["containerPort"]) and _tcp(port)


def _same_outside(port: Tree, own: Tree) -> bool:
    if "hostPort" not in own or str(port.get("hostPort")) != str(own["hostPort"]):
        return False
    hosts = {str(port.get("hostIP") or ""), str(own.get("hostIP") or "")}
    return _tcp(port) and (len(hosts) == 1 or bool(hosts & _EVERYWHERE))


def _tcp(port: Tree) -> bool:
    return str(port.get("protocol", "TCP")).upper() == "TCP"


def _put_mark(merged: Spliced, place: _Place, mark: str) -> None:
    path = place.path
    metadata = place.pod.get("metadata")
    if not metadata:
        merged.put_key(place.document, path, "metadata", {"annotations": {mark: "true"}})
    elif not cast("Tree", metadata).get("annotations"):
        merged.put_key(place.document, (*path, "metadata"), "annotations", {mark: "true"})
    else:
        merged.put_key(place.document, (*path, "metadata", "annotations"), mark, "true")


def _put_config(
    merged: Spliced, documents: Sequence[object], config: Tree, mark: str, profile: str
) -> None:
    """Replace the ConfigMap of an earlier run, whose name has another hash, or append one."""
    ours = [
        n
        for n, document in enumerate(documents)
        if isinstance(document, dict)
        and document.get("kind") == "ConfigMap"
        and mark in _annotations(document)
    ]
    for stale in reversed(ours[1:]):
        merged.drop_document(stale)
    comment = f"# merged by valkeyctl from profile {profile}; edit the profile, not this document"
    merged.put_document(ours[0] if ours else None, config, comment)


def _notes(place: _Place, server: _Server, artefacts: Artefacts) -> tuple[str, ...]:
    found = []
    grace = place.spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)
    if artefacts.keeps_data and isinstance(grace, int) and grace < artefacts.stop_grace:
        found.append(
            f"terminationGracePeriodSeconds of pod {place.name} is {grace}; the server may need "
            f"{artefacts.stop_grace:g} to save its data"
        )
    if place.kind != "Pod":
        claims = [
            str(_tree(volume, "persistentVolumeClaim")["claimName"])
            for volume in server.volumes
            if "persistentVolumeClaim" in volume
        ]
        found += [f"create the claim {claim} in the cluster first" for claim in claims]
        if artefacts.keeps_data and not _tree(place.pod, "spec").get("securityContext"):
            found.append(
                f"set securityContext.fsGroup to {artefacts.group} in the pod of {place.name}, or "
                "the server cannot write to its claim"
            )
    return tuple(found)


def _annotations(holder: Tree) -> Tree:
    metadata = holder.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _tree(parent: Tree, key: str) -> Tree:
    found = parent.get(key)
    if found is None and key == "metadata":
        return {}
    if not isinstance(found, dict):
        how = "is missing" if found is None else "is no mapping"
        raise UsageError(f"{key} {how}", hint=_CHECK)
    return found


def _items(parent: Tree, key: str) -> list[Tree]:
    found = parent.get(key) or []
    if not isinstance(found, list):
        raise UsageError(f"{key} is no list", hint=_CHECK)
    return [item for item in found if isinstance(item, dict)]
