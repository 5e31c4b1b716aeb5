"""The profile reference: every field there is, as one Markdown page.

``python -m valkeyctl.profile.reference > docs/reference/profile.md`` renews the page;
a test compares it with the schema.
"""

from __future__ import annotations

import sys
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from valkeyctl.profile.fields import PATTERN_WORDS, Address, Duration, Secret, Size
from valkeyctl.profile.schema import Profile

_INTRO = """\
# The profile

Made from the schema; `python -m valkeyctl.profile.reference` renews it. A profile is one
YAML file; only `name` is required, all else has a default. Unknown keys are errors.

```yaml
extends: default          # a profile's name, or a path relative to this file
name: mycache
publish: 127.0.0.1:6390
memory: {limit: 1Gi}
persistence: aof          # short for persistence: {mode: aof}
```

- **Where profiles are looked for:** `profiles/` in the working folder,
  `$XDG_CONFIG_HOME/valkeyctl/profiles/`, then those that are shipped: `default`, `dev`, `ci`,
  `prod`, `state`, `sentinel`, `cluster`.
- **`extends`** lays this file over another: sections key by key, lists and single values
  whole. The name is never inherited, so that no two profiles are one deployment by accident.
- **Sizes** are `512Mi`, `1G` as Kubernetes has them or `64mb` as valkey.conf has them; a bare
  number is bytes. **Durations** are `250ms`, `30s`, `5m`, `2h`, `1d`; a bare number is seconds.
- **Short forms:** `persistence: aof`, `tls: true`, `auth: true`, `exporter: true`.
- **YAML** as of version 1.2: `yes`, `no` and `on` are text; tags (`!!int`) and keys written
  twice are errors.
- **Secrets** never stand in a profile: `auth.password` takes `${NAME}` and nothing else.
- A field marked *not yet* is checked, and `render` and `deploy` refuse it by name.
"""
_NOT_YET = frozenset(
    {
        "exporter.enabled",
    }
)
# Why the defaults are what they are; measurements are of docs/explanation/.
_REASONS = {
    "memory": (
        "See [the memory budget](../explanation/memory-budget.md). `copy_on_write: 1` survives "
        "any load during a snapshot. A lower share leaves more for data; with 0.3 a client that "
        "writes all it can gets the server killed. It counts only with persistence."
    ),
    "persistence": (
        "A cache may lose what it holds; `rdb` spares the origin a cold start. `aof` with "
        "`everysec` loses a second at most and costs about a tenth of the write rate, `always` "
        "costs most of it. Snapshots and rewrites fork: the budget counts their copied pages."
    ),
    "stop": (
        "valkeyctl stops the server itself before it replaces a pod, because Podman 4 gives it "
        "no time to save. The grace must cover writing the data set to disk."
    ),
    "security": (
        "The image's own user, nothing writable but the data, no capabilities. A volume belongs "
        "to the owner of `/data` in the image (999 in the official ones), so another user needs "
        "an image of its own. Podman's kube YAML has no field for `pids`; compose does."
    ),
    "network": (
        "Servers and sentinels have fixed addresses in the lower half of the subnet; containers "
        "that join by themselves get one of the upper half. See "
        "[topologies](../explanation/topologies.md)."
    ),
    "replication": (
        "What a failover can lose, and what `min_replicas_to_write` costs: "
        "[topologies](../explanation/topologies.md). Each replica's buffer counts in the memory "
        "budget of every server, for each may become the primary."
    ),
    "sentinel": (
        "Two of three agree although one is gone. 5 s without an answer are a primary that is "
        "gone; 1 s fails over sooner, and also when a slow machine or a long fork is at work. See "
        "[topologies](../explanation/topologies.md)."
    ),
    "cluster": (
        "Three primaries are the fewest that can agree. Without `full_coverage` a lost shard "
        "costs its own keys and not the others'. See [topologies](../explanation/topologies.md)."
    ),
    "tuning": (
        "More I/O threads than one pay from four cores on. A short time that would round to 0, "
        "which means never, becomes 1 of the server's units."
    ),
    "probes": (
        "`valkey-cli -e ping` inside the container. Failures do not count while the data may "
        "still be loading: 5 s, and 1 s more for each 50 MiB of maxmemory with persistence. "
        "It says nothing of the published port: `valkeyctl health` does."
    ),
}


def reference() -> str:
    """Return the page."""
    single, sections = [], []
    for name, field in Profile.model_fields.items():
        model = _section(field.annotation)
        if model is None:
            single.append(_row(name, name, field))
        else:
            sections.append(_section_text(name, field, model))
    return "\n".join([_INTRO, "## Top level\n", _table(single), *sections])


def _section_text(name: str, field: FieldInfo, model: type[BaseModel]) -> str:
    free = get_origin(field.annotation) is dict
    title = f"{name}.NAME" if free else name
    rows = [_row(key, f"{name}.{key}", inner) for key, inner in model.model_fields.items()]
    parts = [f"## {title}\n", f"{(model.__doc__ or '').strip()}\n"]
    if name in _REASONS:
        parts.append(f"{_REASONS[name]}\n")
    if free:
        entries = field.get_default(call_default_factory=True)
        said = ", ".join(f"`{key}: {_flow(entry)}`" for key, entry in entries.items())
        parts.append(f"Default: {said}. What a profile writes is laid over these.\n")
    return "\n".join([*parts, _table(rows)])


def _flow(entry: BaseModel) -> str:
    fields = type(entry).model_fields
    inner = (f"{key}: {_shown(getattr(entry, key), fields[key])}" for key in fields)
    return "{" + ", ".join(inner) + "}"


def _table(rows: list[str]) -> str:
    head = ["| field | value | default | becomes |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) + "\n"


def _row(name: str, path: str, field: FieldInfo) -> str:
    mark = " *(not yet)*" if path in _NOT_YET else ""
    default = "required" if field.is_required() else _shown(field.get_default(), field)
    shown = default if field.is_required() or not default else f"`{default}`"
    becomes = (field.description or "").replace("<", "\\<")  # else Markdown takes it for HTML
    return f"| `{name}`{mark} | {_values(field)} | {shown} | {becomes} |"


def _values(field: FieldInfo) -> str:
    """Return which values *field* takes, in words."""
    patterns = [getattr(rule, "pattern", None) for rule in field.metadata]
    ruled = next((PATTERN_WORDS[rule] for rule in patterns if rule in PATTERN_WORDS), None)
    words = ruled or _kind(field.annotation, field.metadata)
    bounds = []
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge():
                bounds.append(f"{_bound(rule.ge, field)} or more")
            case annotated_types.Gt():
                bounds.append(f"more than {_bound(rule.gt, field)}")
            case annotated_types.Le():
                bounds.append(f"{_bound(rule.le, field)} at most")
            case annotated_types.MaxLen():
                bounds.append(f"{rule.max_length} characters at most")
            case _:
                pass
    return ", ".join([words, *bounds])


def _kind(annotation: object, metadata: list[object]) -> str:
    special = {
        Size: "size",
        Duration: "duration",
        Address: "`host:port`",
        Secret: "`${NAME}`",
    }
    for kind, words in special.items():
        if annotation == kind or any(mark in metadata for mark in _validators(kind)):
            return words
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in {Union, UnionType}:
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return " or ".join(_kind(part, []) for part in parts)
    if get_origin(annotation) is tuple:
        return "list"
    names = {"int": "whole number", "float": "number", "bool": "`true`, `false`", "Path": "path"}
    return names.get(getattr(annotation, "__name__", ""), "text")


def _validators(kind: object) -> list[object]:
    return [mark for mark in get_args(kind)[1:] if isinstance(mark, BeforeValidator)]


def _bound(value: object, field: FieldInfo) -> str:
    return _shown(value, field) or str(value)


def _shown(value: object, field: FieldInfo) -> str:
    """Return *value* as it would be written in a profile; empty for nothing."""
    if value is None or value is PydanticUndefined or value == "":
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    kind = _kind(field.annotation, field.metadata)
    if isinstance(value, (int, float)) and "duration" in kind:
        return _duration(value)
    if isinstance(value, int) and "size" in kind:
        return f"{value // 2**20}Mi"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(f"'{item}'" for item in value) + "]"
    return str(value)


def _duration(seconds: float) -> str:
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds // factor:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0"


def _section(annotation: object) -> type[BaseModel] | None:
    """Return the model of a section, or of the values of a section with free names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is dict:
        return _section(get_args(annotation)[1])
    if get_origin(annotation) is Annotated:
        return _section(get_args(annotation)[0])
    return None


if __name__ == "__main__":
    sys.stdout.write(reference())
