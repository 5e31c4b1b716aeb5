"""Requests of the stream as the bytes that go over the wire."""

from __future__ import annotations

import re
from urllib.parse import quote

from valkeyctl.bench.arm import Pairs
from valkeyctl.bench.load.address import Address
from valkeyctl.bench.traffic.stream import Request
from valkeyctl.bench.traffic.templates import fill_environment

# Ours alone: they say how the body is framed, and another value would break the answer.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_UNSAFE_PATH = re.compile(r"[^!-~]")
# A line end in a value would begin a header of its own.
_LINE_END = re.compile(r"[\r\n]+")


class Encoder:
    """Turns requests of one arm into bytes.

    A header of the arm replaces one of the same name in the scenario, as the arm is what
    is compared; both replace the defaults.
    """

    def __init__(self, address: Address, headers: Pairs) -> None:
        self._prefix = address.prefix
        given = {name.lower() for name, _ in headers}
        defaults = [
            ("Host", address.authority),
            ("User-Agent", "valkeyctl-bench"),
            ("Accept", "*/*"),
            # Decompression would be the client's time, not the target's.
            ("Accept-Encoding", "identity"),
        ]
        if address.authorization:
            defaults.append(("Authorization", address.authorization))
        # A secret of an arm is known here alone, in the process that sends it.
        self._own = [(n, fill_environment(v)) for n, v in headers if n.lower() not in _FRAMING]
        self._given = given | _FRAMING
        self._defaults = [(n, v) for n, v in defaults if n.lower() not in given]
        self._blocks: dict[tuple[str, ...], tuple[str, tuple[bool, ...], bool]] = {}

    def encode(self, request: Request) -> bytes:
        """Return *request*, head and body, ready to be sent."""
        names = tuple([name for name, _ in request.headers])
        block = self._blocks.get(names)
        if block is None:
            block = self._blocks[names] = self._block(names)
        fixed, kept, typed = block
        path = self._prefix + request.path or "/"
        if not path.isascii() or _UNSAFE_PATH.search(path):
            path = quote(path, safe="/?&=%:@!$'()*+,;~#[]")
        lines = [f"{request.method} {path} HTTP/1.1\r\n{fixed}"]
        for keep, (name, value) in zip(kept, request.headers, strict=True):
            if keep:
                lines.append(f"{name}: {_LINE_END.sub(' ', value)}\r\n")
        body = request.body
        if body:
            if not typed:
                lines.append("Content-Type: application/json\r\n")
            lines.append(f"Content-Length: {len(body)}\r\n")
        elif request.method in _WITH_BODY:
            lines.append("Content-Length: 0\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("utf-8") + body

    def _block(self, names: tuple[str, ...]) -> tuple[str, tuple[bool, ...], bool]:
        """Return what is the same for all requests that have headers of these *names*.

        Returns:
            The fixed lines, which of the request's own headers are sent, and whether one
            of all says what the body is.
        """
        lower = [name.lower() for name in names]
        kept = tuple(name not in self._given for name in lower)
        fixed = [(n, v) for n, v in self._defaults if n.lower() not in lower]
        lines = "".join(f"{n}: {_LINE_END.sub(' ', v)}\r\n" for n, v in [*fixed, *self._own])
        return lines, kept, "content-type" in self._given or "content-type" in lower
