"""One line of JSON as the HTTP request that it is, or the reason why it is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from valkeyctl.caching.records import RecordError

CHAT_PATH = "/v1/chat/completions"

_LONGEST_PATH = 2048
_PATH = re.compile(r"/(?!/)[!-~]*", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
# What says where a request goes, and how it travels, is ours.
_OURS = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect"
    r"|accept-encoding|forwarded|x-forwarded-.*|proxy-.*",
    re.IGNORECASE,
)
_WRAPPED = {"path", "headers", "body"}
# The lines of OpenAI's batch files are requests, too.
_BATCH = {"custom_id", "method", "url"}
_ALLOWED = "path, headers, body, method"


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """A request to send to a gateway.

    Attributes:
        path: Begins with a slash; the gateway's address is put before it.
        headers: Names and values, which may be secret.
        body: A JSON object, byte by byte as it was recorded; empty for a GET.
        method: ``POST`` or ``GET``.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


def parse_request(raw: bytes) -> GatewayRequest:
    """Return the request that one line is.

    The line is a request's body, which goes to ``/v1/chat/completions``, or an object with
    ``body`` and maybe ``path`` and ``headers``, or a line of an OpenAI batch file; or, to
    read something, an object with ``method`` GET and ``path``.

    Raises:
        RecordError: It is none of them. The reason never repeats a value, which may be secret.
    """
    try:
        fields = _FIELDS.decode(raw)
    except msgspec.ValidationError as error:
        raise RecordError("a line must be an object") from error
    except msgspec.DecodeError as error:
        raise RecordError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise RecordError("nested too deep") from error
    if "body" not in fields:
        if fields.keys() <= {"method", "path", "headers"} and "path" in fields:
            return _read(fields)
        return GatewayRequest(CHAT_PATH, (), raw.strip())
    if unknown := sorted(fields.keys() - _WRAPPED - _BATCH):
        raise RecordError(f"unknown field {unknown[0]!r:.60}; allowed: {_ALLOWED}")
    if "method" in fields and _text(fields, "method").upper() != "POST":
        raise RecordError("method must be POST where there is a body")
    body = bytes(fields["body"]).strip()
    if not body.startswith(b"{"):
        raise RecordError("body must be an object")
    return GatewayRequest(_path(fields), _headers(fields), body)


def _read(fields: Mapping[str, msgspec.Raw]) -> GatewayRequest:
    # Whatever changes something is for its sender to repeat, not for us.
    if "method" not in fields or _text(fields, "method").upper() != "GET":
        raise RecordError("method must be GET where there is no body")
    return GatewayRequest(_path(fields), _headers(fields), b"", "GET")


def _path(fields: Mapping[str, msgspec.Raw]) -> str:
    if "path" in fields and "url" in fields:
        raise RecordError("path and url exclude each other")
    name = "url" if "url" in fields else "path"
    path = _text(fields, name) if name in fields else CHAT_PATH
    if not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH or "#" in path:
        raise RecordError(f"{name} must be a path such as {CHAT_PATH}, without a server")
    return path


def _headers(fields: Mapping[str, msgspec.Raw]) -> tuple[tuple[str, str], ...]:
    if "headers" not in fields:
        return ()
    try:
        headers = _TEXTS.decode(fields["headers"])
    except msgspec.DecodeError as error:
        raise RecordError("headers must be an object of texts") from error
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise RecordError(f"the header {name!r:.60} cannot be sent")
        if _OURS.fullmatch(name):
            raise RecordError(f"the header {name!r:.60} is not for a request to choose")
    return tuple(headers.items())


def _text(fields: Mapping[str, msgspec.Raw], name: str) -> str:
    try:
        return _TEXT.decode(fields[name])
    except msgspec.DecodeError as error:
        raise RecordError(f"{name} must be text") from error


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXTS = msgspec.json.Decoder(dict[str, str])
_TEXT = msgspec.json.Decoder(str)
