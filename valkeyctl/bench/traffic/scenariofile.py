"""Scenarios read from YAML: the shipped ones, and the user's own files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeAlias, get_args

from valkeyctl.bench.arm import Arm, Node, check_url
from valkeyctl.bench.traffic import fields
from valkeyctl.bench.traffic.document import MAX_BYTES, Document, read_document
from valkeyctl.bench.traffic.scenario import (
    Application,
    Arrivals,
    Disturbance,
    Expectation,
    Fault,
    Keys,
    Popularity,
    RequestTemplate,
    Scenario,
    Sizes,
)
from valkeyctl.bench.traffic.section import Section, meant
from valkeyctl.bench.traffic.templates import OF_THE_KEY, Place, compile_template, is_json
from valkeyctl.errors import FolderError, UsageError

_METHOD = re.compile(r"[A-Z]{1,20}")
_SIZE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_Check: TypeAlias = Callable[[tuple[str, ...], str, Place], str]
_FILE_SUFFIXES = {".yaml", ".yml"}


@dataclass(frozen=True)
class Description:
    """What a list of scenarios says of one.

    Attributes:
        scenario: It, as it is read.
        source: The text of its file, comments included.
    """

    scenario: Scenario
    source: str


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package, sorted."""
    folder = resources.files("valkeyctl.bench") / "scenarios"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_scenario(name: str) -> Scenario:
    """Return the scenario called *name*: a shipped one, or a YAML file of the user's.

    Raises:
        UsageError: There is none of that name, or a field is wrong; names file and line.
        FolderError: The file cannot be read.
    """
    return describe(name).scenario


def describe(name: str) -> Description:
    """Return the scenario called *name* and the text that it was read from.

    Raises:
        UsageError: There is none of that name, or a field is wrong; names file and line.
        FolderError: The file cannot be read.
    """
    if name in shipped():
        file = resources.files("valkeyctl.bench") / "scenarios" / f"{name}.yaml"
        text = file.read_text(encoding="utf-8")
        return Description(_scenario(read_document(text, f"{name}.yaml"), None), text)
    path = Path(name)
    if path.suffix not in _FILE_SUFFIXES:
        names = shipped()
        raise UsageError(
            f"there is no scenario {name!r}{meant(name, names)}",
            hint="Give one of them, or the path of a YAML file",
        )
    try:
        with path.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)  # never more: the path may be a device
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:  # ValueError: a NUL in the name
        raise FolderError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="Check the path given to --scenario",
        ) from error
    return Description(_scenario(read_document(text, name), path.absolute().parent), text)


def parse(document: Node, where: str) -> Scenario:
    """Return the scenario that *document* describes; *where* names it in messages.

    Raises:
        UsageError: A field is missing, unknown or out of range.
    """
    return _scenario(Document(where, document), None)


def _scenario(document: Document, folder: Path | None) -> Scenario:
    """Return the scenario of *document*; its files lie in *folder*, None where it has none."""
    top = Section(document, (), document.tree, fields.TOP_NEEDED, fields.TOP)
    load = top.section("load", (), fields.LOAD)
    if load.has("rate") and load.has("users"):
        raise load.wrong("users", "is of a closed loop, and rate of an open one; keep one of them")
    sizes = _sizes(top)
    requests = tuple(_request(one, sizes) for one in top.sections("requests", least=1))
    _check_requests(top, requests)
    return Scenario(
        name=_name(top),
        about=top.text("about", default="", empty=True),
        requests=requests,
        keys=_keys(top.section("keys", (), fields.KEYS), folder),
        application=top.choice("application", get_args(Application), "gateway"),  # type: ignore[arg-type]
        sizes=sizes,
        users=load.whole("users", least=1, most=10_000, default=16),
        rate=load.number("rate", least=0.001, most=1e6) if load.has("rate") else None,
        arrivals=load.choice("arrivals", get_args(Arrivals), "poisson"),  # type: ignore[arg-type]
        speedup=load.number("speedup", least=0.001, most=1e6, default=1.0),
        block=load.seconds("block", least=0.01, most=3600) if load.has("block") else None,
        arms=_arms(top),
        server=_settings(top),
        env=_variables(top),
        during=_during(top),
    )


def _name(top: Section) -> str:
    stem = Path(top.document.file).stem
    name = top.text("name", default=stem if _ARM_NAME.fullmatch(stem) else "scenario")
    if not _ARM_NAME.fullmatch(name):
        raise top.wrong("name", f"{name!r:.60} must be letters, digits, -, _ and dots, 40 at most")
    return name


def _check_requests(top: Section, requests: tuple[RequestTemplate, ...]) -> None:
    names = [one.name for one in requests]
    for place, one in enumerate(requests):
        if one.name in names[:place]:
            raise top.document.wrong(("requests", place, "name"), f"{one.name!r} is there twice")
    if len(requests) > 256:  # a sample's record has a byte for the kind of its request
        raise top.wrong("requests", f"must be at most 256, and are {len(requests)}")
    if not sum(one.weight for one in requests):
        raise top.wrong("requests", "must have a weight above 0 among them")


def _keys(section: Section, folder: Path | None) -> Keys:
    popularity = section.choice("popularity", get_args(Popularity), "zipf")
    if popularity == "trace":
        section.allow(("popularity", "trace"), ())
        trace = Path(section.text("trace"))
        # Beside the scenario's file, from wherever it is run.
        return Keys(0, "trace", trace=str(trace if folder is None else folder / trace))
    section.allow(("count",), tuple(name for name in fields.KEYS if name not in {"count", "trace"}))
    return Keys(
        count=section.whole("count", least=1, most=fields.MOST_KEYS),
        popularity=popularity,  # type: ignore[arg-type]
        exponent=section.number("exponent", least=0, most=10, default=1.0),
        hot_keys=section.number("hot_keys", least=1e-9, most=1, default=0.2),
        hot_requests=section.number("hot_requests", least=0, most=1, default=0.8),
        once=section.number("once", least=0, most=1, default=0.0),
    )


def _sizes(top: Section) -> dict[str, Sizes]:
    node = top.node.get("sizes")
    if node is None:
        return {}
    section = Section(top.document, ("sizes",), node)
    found = {}
    for name in section.node:
        if not _SIZE_NAME.fullmatch(name) or name in {*OF_THE_KEY, "text", "env"}:
            raise section.wrong(name, "cannot be the name of a size: letters, digits, _")
        if not isinstance(section.node[name], dict):
            alike = section.size(name, least=1, most=fields.MOST_SIZE)
            found[name] = Sizes(median=alike, sigma=0.0, most=alike)
            continue
        one = section.section(name, ("median",), ("sigma", "most"))
        most = one.size("most", least=1, most=fields.MOST_SIZE) if one.has("most") else None
        median = (
            one.size("median", least=1, most=fields.MOST_SIZE)
            if isinstance(one.node["median"], str)
            else one.number("median", least=1, most=fields.MOST_SIZE)
        )
        if most is not None and most < median:
            raise one.wrong("most", f"is {most:,}, less than median, {median:,.15g}")
        found[name] = Sizes(
            median=median,
            sigma=one.number("sigma", least=0, most=5, default=0.0),
            most=fields.MOST_SIZE if most is None else most,
        )
    return found


def _request(section: Section, sizes: dict[str, Sizes]) -> RequestTemplate:
    section.allow(("name",), fields.REQUEST)
    name = section.text("name")

    def check(field: tuple[str, ...], text: str, place: Place) -> str:
        try:
            compile_template(text, place, sizes)
        except ValueError as error:
            path = (*section.path, *field)
            raise section.document.wrong(path, f"of request {name!r}: {error}") from error
        return text

    path = section.text("path", default="/")
    if not path.startswith("/") or not (path.isascii() and path.isprintable()) or " " in path:
        raise section.wrong("path", "must begin with / and be ASCII without blanks; write %20")
    method = section.text("method", default="GET").upper()
    if not _METHOD.fullmatch(method):
        raise section.wrong("method", f"{method!r:.40} is no HTTP method")
    headers = section.pairs("headers")
    for header, value in headers:
        if not _TOKEN.fullmatch(header) or not (value.isascii() and value.isprintable()):
            raise section.document.wrong((*section.path, "headers", header), "cannot be sent")
        check(("headers", header), value, "header")
    body = _body(section)
    return RequestTemplate(
        name=name,
        method=method,
        path=check(("path",), path, "path"),
        weight=section.number("weight", least=0, most=1e6, default=1.0),
        headers=headers,
        body=check(("body",), body, "json" if is_json(body) else "text"),
        expect=_expect(section, check),
    )


def _body(section: Section) -> str:
    body = section.node.get("body")
    if body is None:
        return ""
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)


def _expect(section: Section, check: _Check) -> Expectation:
    expect = section.section("expect", (), fields.EXPECT)
    contains = expect.text("contains", default="", empty=True)
    _no_environment(expect, "contains", check(("expect", "contains"), contains, "text"))
    values = []
    wanted = Section(expect.document, (*expect.path, "json"), expect.node.get("json") or {})
    for path, node in wanted.node.items():
        text = json.dumps(node, ensure_ascii=False)
        _no_environment(wanted, path, check(("expect", "json", path), text, "json"))
        values.append((path, text))
    most = expect.size("max_bytes", least=0, most=2**40) if expect.has("max_bytes") else None
    least = expect.size("min_bytes", least=0, most=2**40) if expect.has("min_bytes") else 0
    if most is not None and most < least:
        raise expect.wrong("max_bytes", f"is {most:,}, less than min_bytes, {least:,}")
    return Expectation(
        status=_statuses(expect),
        contains=contains,
        json=tuple(values),
        matches=_pattern(expect),
        min_bytes=least,
        max_bytes=most,
        same_for_key=expect.flag("same_for_key"),
    )


def _no_environment(section: Section, key: str, text: str) -> None:
    # What an answer lacks is said in messages and files, where no secret may stand.
    if "{env:" in text:
        raise section.wrong(key, "must hold no {env:...}, for it is shown in messages")


def _pattern(expect: Section) -> str:
    pattern = expect.text("matches", default="", empty=True)
    try:
        # `regex` reads what `re` reads, and alone can be bounded in time; see `answers`.
        re.compile(pattern.encode())
    except (re.error, OverflowError, RecursionError) as error:
        raise expect.wrong("matches", f"is no regular expression: {error}") from error
    return pattern


def _statuses(expect: Section) -> tuple[int, ...]:
    node = expect.node.get("status")
    listed = [] if node is None else node if isinstance(node, list) else [node]
    found = []
    for value in listed:
        if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
            raise expect.wrong(
                "status", "must be an HTTP status from 100 to 599, or a list of them"
            )
        found.append(value)
    return tuple(found)


def _arms(top: Section) -> tuple[Arm, ...]:
    found: list[Arm] = []
    for section in top.sections("arms"):
        section.allow(("name",), fields.ARM)
        name = section.text("name")
        if not _ARM_NAME.fullmatch(name):
            raise section.wrong("name", f"{name!r:.60} must be letters, digits, -, _ and dots")
        if name in {arm.name for arm in found}:
            raise section.wrong("name", f"{name!r} is there twice")
        headers = section.pairs("headers")
        for header, value in headers:
            if not _TOKEN.fullmatch(header) or not (value.isascii() and value.isprintable()):
                raise section.document.wrong((*section.path, "headers", header), "cannot be sent")
        url = (
            check_url(section.text("url"), f"the URL of arm {name!r}")
            if section.has("url")
            else None
        )
        found.append(Arm(name, headers, _variables(section), url, _settings(section)))
    return tuple(found)


def _variables(section: Section) -> tuple[tuple[str, str], ...]:
    pairs = section.pairs("env")
    for name, value in pairs:
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise section.document.wrong((*section.path, "env", name), "is no variable")
    return pairs


def _settings(section: Section) -> tuple[tuple[str, str], ...]:
    pairs = section.pairs("server")
    for name, value in pairs:
        if not _DIRECTIVE.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise section.document.wrong(
                (*section.path, "server", name), "is no setting of valkey.conf"
            )
    return pairs


def _during(top: Section) -> Disturbance | None:
    if not top.has("during"):
        return None
    section = top.section("during", ("kind",), ("at",))
    kind = section.choice("kind", get_args(Fault))
    return Disturbance(kind, section.number("at", least=0, most=1, default=0.5))  # type: ignore[arg-type]
