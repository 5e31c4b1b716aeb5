"""Where requests go, and the bytes that they are."""

from __future__ import annotations

import pytest

from valkeyctl.bench.arm import Pairs
from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.encoder import Encoder
from valkeyctl.bench.traffic.scenario import Expectation
from valkeyctl.bench.traffic.stream import Request


def encoded(
    *,
    url: str = "http://h:1",
    arm: Pairs = (),
    method: str = "GET",
    path: str = "/",
    headers: Pairs = (),
    body: bytes = b"",
) -> tuple[str, list[str], bytes]:
    """Return the request line, the sorted header lines and the body."""
    request = Request(0, 0, 0, method, path, body, headers, Expectation())
    wire = Encoder(Address.of(url), arm).encode(request)
    head, _, rest = wire.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    return line, sorted(lines), rest


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "authority", "prefix"),
    [
        ("http://h", "h", 80, False, "h", ""),
        ("https://h:443/", "h", 443, True, "h", ""),
        ("https://h:8443/api/", "h", 8443, True, "h:8443", "/api"),
        ("http://[::1]:80", "::1", 80, False, "[::1]", ""),
        ("http://[::1]:8080", "::1", 8080, False, "[::1]:8080", ""),
    ],
)
def test_the_parts_of_a_url(
    url: str, host: str, port: int, tls: bool, authority: str, prefix: str
) -> None:
    """As a connection and a request need them."""
    assert Address.of(url) == Address(host, port, tls, authority, prefix)


def test_what_is_no_url_is_not_repeated() -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match="not an http") as caught:
        Address.of("ftp://user:secret@h")

    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Address.of("http://user:secret@h"))


def test_a_plain_request() -> None:
    """Nothing is asked for that the client would have to decode."""
    line, lines, body = encoded(url="http://h:1/base", path="/a?b=c")

    assert line == "GET /base/a?b=c HTTP/1.1"
    assert lines == [
        "Accept-Encoding: identity",
        "Accept: */*",
        "Host: h:1",
        "User-Agent: valkeyctl-bench",
    ]
    assert body == b""


def test_a_body_has_its_length_in_bytes() -> None:
    """And a type, unless the scenario gives one; a POST without one says so."""
    _, lines, body = encoded(method="POST", body="é".encode())
    _, other, _ = encoded(method="POST", body=b"x", headers=(("content-type", "text/plain"),))
    _, empty, _ = encoded(method="POST")

    assert {"Content-Length: 2", "Content-Type: application/json"} <= set(lines)
    assert body == "é".encode()
    assert "content-type: text/plain" in other
    assert "Content-Type: application/json" not in other
    assert "Content-Length: 0" in empty


def test_the_arm_has_the_last_word() -> None:
    """Over the scenario, and both over what is sent by default; nobody over the framing."""
    _, lines, _ = encoded(
        arm=(("X-Mode", "arm"), ("Host", "virtual"), ("Content-Length", "9")),
        headers=(("x-mode", "scenario"), ("Accept", "text/html"), ("Transfer-Encoding", "x")),
    )

    assert lines == [
        "Accept-Encoding: identity",
        "Accept: text/html",
        "Host: virtual",
        "User-Agent: valkeyctl-bench",
        "X-Mode: arm",
    ]


def test_a_user_in_the_url_is_sent_as_basic_authorization() -> None:
    """Unless the arm says otherwise."""
    _, lines, _ = encoded(url="http://u:p%40@h")
    _, own, _ = encoded(url="http://u:p@h", arm=(("Authorization", "Bearer t"),))

    assert "Authorization: Basic dTpwQA==" in lines
    assert [line for line in own if "uthorization" in line] == ["Authorization: Bearer t"]


def test_no_text_of_a_request_becomes_a_header_of_its_own() -> None:
    """A key of a trace may be anything."""
    line, lines, _ = encoded(path="/ü x\r\nEvil: 1", headers=(("X-Key", "a\r\nEvil: 1"),))

    assert line == "GET /%C3%BC%20x%0D%0AEvil:%201 HTTP/1.1"
    assert "X-Key: a Evil: 1" in lines
    assert not [one for one in lines if one.startswith("Evil")]


def test_the_header_of_an_arm_takes_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a secret stands in no file and on no command line; other braces stay."""
    monkeypatch.setenv("BENCH_TOKEN", "s3cret")
    _, lines, _ = encoded(arm=(("Authorization", "Bearer {env:BENCH_TOKEN}"), ("X-A", "{a:1}")))

    assert "Authorization: Bearer s3cret" in lines
    assert "X-A: {a:1}" in lines
