"""Which kind of file it is, and what merging a server into it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import yaml

from valkeyctl.errors import UsageError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.render.into.nodes import no_yaml

Tree = dict[str, object]
MARK = "valkeyctl.merged"
"""On what was merged, so that a later run finds it: an annotation in a pod, a label in compose."""

MADE_BY = "# rendered by valkeyctl "
"""How every file begins that we write beside a merged one, and may so write over."""


@dataclass(frozen=True)
class Merged:
    """A file as it should be, with a server in it.

    Attributes:
        kind: What the file is.
        target: The pod, or the compose service, that the server is in.
        text: The whole file; the same as before when the server was in it already.
        beside: Files that the merged one mounts from its own folder, name to text.
        notes: What the operator should know, each one sentence.
    """

    kind: Literal["pod", "compose"]
    target: str
    text: str
    beside: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def merge(text: str, artefacts: Artefacts, *, pod: str | None = None) -> Merged:
    """Return *text* with the server of *artefacts* in it; merging again changes nothing.

    Args:
        text: A kube YAML file with a Pod (or the template of a Deployment or
            StatefulSet), or a compose file; with its own line ends.
        artefacts: A standalone server.
        pod: Name of the pod to merge into; needed where the file has several.

    Raises:
        UsageError: It is neither, or the server cannot be put in without a clash.
    """
    from valkeyctl.render.into.composefile import merge_compose
    from valkeyctl.render.into.podfile import merge_pod

    if artefacts.topology != "standalone":
        raise UsageError(
            f"a {artefacts.topology} topology is several servers and cannot be merged into a pod",
            hint="Deploy it by itself, and connect to it: valkeyctl url",
        )
    documents = load(text)
    first = documents[0] if documents else None
    if len(documents) == 1 and isinstance(first, dict) and "services" in first:
        if pod is not None:
            raise UsageError("a compose file has no pods", hint="Leave --pod out")
        return merge_compose(text, first, artefacts)
    return merge_pod(text, documents, artefacts, pod)


def load(text: str) -> list[object]:
    """Return the documents of *text*, aliases and ``<<`` resolved; unknown tags are text.

    Raises:
        UsageError: It is not YAML; the message has the line.
    """
    try:
        return list(yaml.load_all(text, Loader=_Tolerant))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise no_yaml(error) from error


class _Tolerant(yaml.SafeLoader):
    """Takes ``!reset`` and its like, which compose files hold, for what they stand at."""


def _foreign(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    del loader, suffix
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


_Tolerant.add_multi_constructor("!", _foreign)
