"""A server merged into a compose file: its service, and the volume of its data."""

from __future__ import annotations

import re
from typing import cast

import yaml

from valkeyctl.errors import UsageError
from valkeyctl.render.artefacts import COMPOSE, CONF, Artefacts
from valkeyctl.render.into.merge import MARK, Merged, Tree
from valkeyctl.render.into.splice import Spliced

_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - read from the file, not bound to
_SHORT = re.compile(r"(?:\[?(?P<ip>[0-9a-fA-F.:]*?)\]?:)?(?P<low>\d+)(?:-(?P<high>\d+))?:[\d-]+")


def merge_compose(text: str, project: Tree, artefacts: Artefacts) -> Merged:
    """Return *text* with the server as one more service; see `merge`."""
    rendered = cast("Tree", yaml.safe_load(artefacts.files[COMPOSE]))
    (own,) = cast("dict[str, Tree]", rendered["services"]).values()
    name = f"{artefacts.name}-valkey"
    conf = f"{artefacts.name}-{CONF}"
    volumes = cast("dict[str, Tree]", rendered.get("volumes") or {})
    mounts = cast("list[str]", own["volumes"])
    service = {
        **own,
        "labels": {MARK: artefacts.name},
        # The file's own folder may have a valkey.conf already, and a volume called data.
        "volumes": [_renamed(mount, artefacts.name, volumes) for mount in mounts],
    }
    services = project.get("services") or {}
    if not isinstance(services, dict):
        raise UsageError("services is no mapping", hint="Check the file with podman-compose config")
    _refuse_clashes(services, name, service)

    merged = Spliced(text)
    _put(merged, project, "services", name, service)
    named = {f"{artefacts.name}-{key}": volume for key, volume in volumes.items()}
    for key, volume in named.items():
        _put(merged, project, "volumes", key, volume)
    for key in _mounted(services.get(name)) - named.keys():
        if key.startswith(f"{artefacts.name}-"):
            merged.drop_key(0, ("volumes",), key)
    return Merged("compose", name, merged.text, beside={conf: artefacts.files[CONF]})


def _put(merged: Spliced, project: Tree, section: str, key: str, value: object) -> None:
    if project.get(section):
        merged.put_key(0, (section,), key, value)
    else:
        merged.put_key(0, (), section, {key: value})


def _mounted(service: object) -> set[str]:
    """Return the volumes that a service of ours mounts."""
    mounts = service.get("volumes") if isinstance(service, dict) else None
    return {str(mount).split(":", 1)[0] for mount in mounts} if isinstance(mounts, list) else set()


def _renamed(mount: str, name: str, volumes: dict[str, Tree]) -> str:
    """Return a mount of ours as it stands in another's file."""
    source, rest = mount.split(":", 1)
    if source == f"./{CONF}":
        return f"./{name}-{CONF}:{rest}"
    return f"{name}-{source}:{rest}" if source in volumes else mount


def _refuse_clashes(services: Tree, name: str, own: Tree) -> None:
    present = services.get(name)
    if present is not None and own["labels"] != _labels(present):
        raise UsageError(
            f"there is a service {name} that valkeyctl did not put there",
            hint="Rename it, or give the profile another name",
        )
    mine = [_short(str(port)) for port in cast("list[object]", own["ports"])]
    for other, service in services.items():
        if other == name or not isinstance(service, dict):
            continue
        if service.get("container_name") == own["container_name"]:
            raise UsageError(
                f"service {other} has the container name {own['container_name']} too",
                hint="Rename it, or give the profile another name",
            )
        ports = service.get("ports")
        for port in ports if isinstance(ports, list) else []:
            for ip, low, high in mine:
                theirs = _long(port) if isinstance(port, dict) else _short(str(port))
                at, first, last = theirs
                if first <= high and low <= last and (at == ip or {at, ip} & _EVERYWHERE):
                    raise UsageError(
                        f"service {other} publishes port {low} too",
                        hint="Change publish in the profile",
                    )


def _short(port: str) -> tuple[str, int, int]:
    """Return address and first and last port on the machine of ``ip:1-2:3``; 0 for none."""
    found = _SHORT.fullmatch(port.split("/", maxsplit=1)[0].strip())
    if found is None:
        return "", 0, -1  # published on a port that the tool picks, or not at all
    return found["ip"] or "", int(found["low"]), int(found["high"] or found["low"])


def _long(port: Tree) -> tuple[str, int, int]:
    ip, published = str(port.get("host_ip") or ""), str(port.get("published") or "")
    return _short(f"{f'[{ip}]:' if ':' in ip else f'{ip}:' if ip else ''}{published}:0")


def _labels(service: object) -> Tree:
    """Return our labels of a service, which are a mapping or a list of ``key=value``."""
    found = service.get("labels") if isinstance(service, dict) else None
    if isinstance(found, list):
        found = dict(str(label).split("=", 1) for label in found if "=" in str(label))
    return (
        {key: value for key, value in found.items() if key == MARK}
        if isinstance(found, dict)
        else {}
    )
