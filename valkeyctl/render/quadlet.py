"""From a profile to Quadlet units, from which systemd runs the server through Podman.

A unit is made from the pod that `deploy` would play, so that one server is described
once: command, mounts, probe, limits and ports are the pod's. Keys that came after
Podman 4.7 are written as PodmanArgs, which every version takes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import cast

import yaml

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import POD, Artefacts
from valkeyctl.render.bridge import dynamic_range
from valkeyctl.render.build import render
from valkeyctl.render.conf import origin

# The folder that Quadlet reads: %E is /etc for root, and ~/.config in a user's own systemd.
UNIT_FOLDER = "%E/containers/systemd"
_START_TIMEOUT = 300  # seconds; the first start pulls the image
_STOP_MARGIN = 15  # seconds that systemd waits beyond the server's own time to save
_OWN_FILES = 32  # descriptors that the server keeps for itself beside its clients
_ABOUT = """\
# Needs Podman 4.7 or newer, and systemd. Put this file and those beside it, as they are, into
# /etc/containers/systemd (root) or ~/.config/containers/systemd (a user; then `loginctl
# enable-linger`), readable by all: the server reads its configuration as another user.
# Then: systemctl [--user] daemon-reload; systemctl [--user] start {service}
"""
_ABOUT_SECRETS = "# Before that, make its secrets, which are rendered nowhere:"

Tree = Mapping[str, object]


def quadlet_files(profile: Profile) -> dict[str, str]:
    """Return the units of *profile* and the configuration files that they mount.

    Raises:
        ProfileError: A field asks for something that cannot be deployed.
        BudgetError: The memory does not fit the limit.
    """
    artefacts = render(profile)
    files: dict[str, str] = {}
    if artefacts.network is not None:
        files[f"{artefacts.network.name}.network"] = _sections(
            origin(profile),
            {
                "Network": [
                    ("NetworkName", artefacts.network.name),
                    ("Subnet", artefacts.network.subnet),
                    # The other half is for the fixed addresses.
                    ("IPRange", dynamic_range(artefacts.network)),
                ]
            },
        )
    for unit in artefacts.units:
        files |= _UnitFiles(profile, unit).files()
    return dict(sorted(files.items()))


class _UnitFiles:
    """The files of one server or sentinel."""

    def __init__(self, profile: Profile, unit: Artefacts) -> None:
        self.profile = profile
        self.unit = unit
        *configs, pod = cast("list[Tree]", list(yaml.safe_load_all(unit.files[POD])))
        self.configs = {
            str(_tree(config, "metadata")["name"]): cast("Mapping[str, str]", config["data"])
            for config in configs
            if config["kind"] == "ConfigMap"
        }
        self.labels = cast("Mapping[str, str]", _tree(pod, "metadata")["labels"])
        spec = _tree(pod, "spec")
        self.grace = cast("int", spec["terminationGracePeriodSeconds"])
        self.volumes = {str(volume["name"]): volume for volume in _list(spec, "volumes")}
        self.server = _list(spec, "containers")[0]

    def files(self) -> dict[str, str]:
        """Return the unit's .container, its .volume files and its configuration."""
        found: dict[str, str] = {}
        for volume in self.volumes.values():
            claim = self._claim(volume)
            if claim and claim != self.unit.secrets_volume:
                found[f"{claim}.volume"] = self._volume(claim)
            if "configMap" in volume:
                name = str(_tree(volume, "configMap")["name"])
                found |= {self._conf(key): text for key, text in self.configs[name].items()}
        found[f"{self.unit.pod}.container"] = self._container()
        return found

    def _container(self) -> str:
        limits = _tree(_tree(self.server, "resources"), "limits")
        security = _tree(self.server, "securityContext")
        words = [str(word) for word in cast("list[object]", self.server["args"])]
        keys = [
            ("ContainerName", self.unit.container),
            ("Image", str(self.server["image"])),
            ("Pull", self.unit.pull),
            ("Exec", shlex.join(words)),
            *(("Label", f"{key}={value}") for key, value in sorted(self.labels.items())),
            *self._network(),
            *(("PublishPort", _published(port)) for port in _list(self.server, "ports")),
            *self._mounts(),
            ("User", str(security["runAsUser"])),
            ("Group", str(security["runAsGroup"])),
            ("ReadOnly", str(bool(security["readOnlyRootFilesystem"])).lower()),
            ("DropCapability", "all"),
            ("NoNewPrivileges", "true"),
            ("PidsLimit", str(self.profile.security.pids)),
            ("Ulimit", f"nofile={self._descriptors()}:{self._descriptors()}"),
            *self._probe(),
            # Memory= came with Podman 5.6, StopTimeout= with 5.0, ReadOnlyTmpfs= with 4.8.
            ("PodmanArgs", f"--memory={str(limits['memory']).replace('i', '').lower()}"),
            ("PodmanArgs", f"--stop-timeout={self.grace}"),
            # It writes to its volumes, and to nothing else.
            ("PodmanArgs", "--read-only-tmpfs=false"),
        ]
        return _sections(
            self._heading(),
            {
                "Unit": [("Description", f"Valkey {self.unit.name}, deployed by valkeyctl")],
                "Container": keys,
                "Service": [
                    ("Restart", "always"),
                    ("TimeoutStartSec", str(_START_TIMEOUT)),
                    # Longer than --stop-timeout: systemd would kill a server that still saves.
                    ("TimeoutStopSec", str(self.grace + _STOP_MARGIN)),
                ],
                "Install": [("WantedBy", "multi-user.target default.target")],
            },
        )

    def _heading(self) -> str:
        lines = [origin(self.profile), _ABOUT.format(service=self.unit.pod).rstrip()]
        if self.unit.material:
            lines.append(_ABOUT_SECRETS)
        whose = f" --unit {self.unit.name}" if self.unit.is_node else ""
        lines += [
            f"#   valkeyctl secrets export -p {self.profile.name}{whose} | tar -xO {file} |"
            f" podman secret create {secret_name(self.unit, file)} -"
            for file in self.unit.material
        ]
        return "\n".join(lines)

    def _descriptors(self) -> int:
        return max(self.profile.tuning.maxclients + _OWN_FILES, 1024)

    def _network(self) -> list[tuple[str, str]]:
        network = self.unit.network
        if network is None:
            return []
        keys = [("Network", f"{network.name}.network"), ("IP", self.unit.address)]
        return [*keys, ("PodmanArgs", f"--mac-address={self.unit.mac}")]

    def _mounts(self) -> list[tuple[str, str]]:
        keys: list[tuple[str, str]] = []
        for mount in _list(self.server, "volumeMounts"):
            volume, path = self.volumes[str(mount["name"])], str(mount["mountPath"])
            claim = self._claim(volume)
            if "configMap" in volume:
                name = str(_tree(volume, "configMap")["name"])
                # Z: with SELinux the container may read it; elsewhere it does nothing.
                keys += [
                    ("Volume", f"{UNIT_FOLDER}/{self._conf(key)}:{path}/{key}:ro,Z")
                    for key in sorted(self.configs[name])
                ]
            elif claim == self.unit.secrets_volume:
                keys += [("Secret", self._secret(file, path)) for file in self.unit.material]
            elif claim:
                keys.append(("Volume", f"{claim}.volume:{path}"))
            else:
                keys.append(("Tmpfs", path))
        return keys

    def _secret(self, file: str, folder: str) -> str:
        """Return what mounts `podman secret` UNIT-FILE for the server's user alone."""
        security = self.profile.security
        return (
            f"{secret_name(self.unit, file)},type=mount,target={folder}/{file},"
            f"uid={security.user},gid={security.group},mode=0400"
        )

    def _probe(self) -> list[tuple[str, str]]:
        probe = _tree(self.server, "livenessProbe")
        command = cast("list[object]", _tree(probe, "exec")["command"])
        return [
            ("HealthCmd", shlex.join(str(word) for word in command)),
            ("HealthInterval", f"{probe['periodSeconds']}s"),
            ("HealthTimeout", f"{probe['timeoutSeconds']}s"),
            ("HealthRetries", str(probe["failureThreshold"])),
            ("HealthStartPeriod", f"{probe['initialDelaySeconds']}s"),
            # systemd starts it again; Podman's own restart would fight with systemd's.
            ("HealthOnFailure", "kill"),
        ]

    def _volume(self, claim: str) -> str:
        # Named as `deploy` and compose name it: the data is the same whichever runs.
        labels = [("Label", f"{key}={value}") for key, value in self._lasting_labels()]
        return _sections(origin(self.profile), {"Volume": [("VolumeName", claim), *labels]})

    def _lasting_labels(self) -> list[tuple[str, str]]:
        """Return the labels that do not change with a render: a volume keeps its first ones."""
        return [
            (key, value)
            for key, value in sorted(self.labels.items())
            if not key.endswith((".hash", ".version"))
        ]

    def _conf(self, key: str) -> str:
        """Return a configuration file's name in the folder that all units share."""
        return f"{self.unit.name}-{key}"

    @staticmethod
    def _claim(volume: Tree) -> str:
        claim = volume.get("persistentVolumeClaim")
        return str(cast("Tree", claim)["claimName"]) if claim else ""


def secret_name(unit: Artefacts, file: str) -> str:
    """Return the name of the `podman secret` that holds *file* for *unit*."""
    return f"{unit.name}-{file}"


def _sections(head: str, sections: Mapping[str, list[tuple[str, str]]]) -> str:
    parts = [head]
    for name, keys in sections.items():
        parts.append("\n".join([f"[{name}]", *(f"{key}={value}" for key, value in keys)]))
    return "\n\n".join(parts) + "\n"


def _published(port: Tree) -> str:
    host = str(port.get("hostIP", ""))
    shown = f"[{host}]" if ":" in host else host
    ports = f"{port['hostPort']}:{port['containerPort']}"
    return f"{shown}:{ports}" if shown else ports


def _tree(parent: Tree, key: str) -> Tree:
    return cast("Tree", parent[key])


def _list(parent: Tree, key: str) -> list[Tree]:
    return cast("list[Tree]", parent.get(key) or [])
