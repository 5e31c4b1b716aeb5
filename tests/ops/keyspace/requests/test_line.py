"""Lines of recorded requests: taken as they are, or refused without quoting a secret."""

from __future__ import annotations

import json

import pytest

from valkeyctl.caching.records import RecordError
from valkeyctl.ops.keyspace.requests.line import CHAT_PATH, GatewayRequest, parse_request

SECRET = "hunter2hunter2"


def test_a_body_is_sent_as_it_is() -> None:
    """Byte by byte, for the gateway's answer is found under what it says."""
    raw = b'{"model": "m",  "messages":[], "temperature":1.0}'

    assert parse_request(raw + b" ") == GatewayRequest(CHAT_PATH, (), raw)


def test_a_request_brings_its_path_and_headers() -> None:
    """The body in it is not written anew either."""
    raw = b'{"path":"/v1/messages?x=1","headers":{"x-api-key":"k"},"body": {"a":1e2}}'

    assert parse_request(raw) == GatewayRequest(
        "/v1/messages?x=1", (("x-api-key", "k"),), b'{"a":1e2}'
    )


def test_a_line_of_a_batch_file_is_a_request() -> None:
    """As OpenAI's batches are written."""
    raw = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}'

    assert parse_request(raw) == GatewayRequest(CHAT_PATH, (), b'{"model":"m"}')


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "a line must be an object"),
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ('{"body":[]}', "body must be an object"),
        ('{"body":"x"}', "body must be an object"),
        ('{"body":{},"bodies":1}', "unknown field 'bodies'"),
        ('{"body":{},"method":"GET"}', "method must be POST"),
        ('{"body":{},"method":1}', "method must be text"),
        ('{"body":{},"path":1}', "path must be text"),
        ('{"body":{},"path":"v1"}', "path must be a path"),
        ('{"body":{},"path":"http://elsewhere/v1"}', "without a server"),
        ('{"body":{},"path":"//elsewhere/v1"}', "without a server"),
        ('{"body":{},"path":"/a b"}', "path must be a path"),
        ('{"body":{},"path":"/a\\r\\nHost: b"}', "path must be a path"),
        ('{"body":{},"path":"/a","url":"/a"}', "exclude each other"),
        ('{"body":{},"headers":[]}', "headers must be an object of texts"),
        ('{"body":{},"headers":{"x":1}}', "headers must be an object of texts"),
        ('{"body":{},"headers":{"a b":"c"}}', "'a b' cannot be sent"),
        ('{"body":{},"headers":{"Host":"elsewhere"}}', "'Host' is not for a request to choose"),
        ('{"body":{},"headers":{"Content-Length":"1"}}', "not for a request to choose"),
    ],
)
def test_a_line_that_is_no_request_says_why(line: str, reason: str) -> None:
    """Nor may a request choose another server, or how it travels."""
    with pytest.raises(RecordError, match=reason):
        parse_request(line.encode("latin-1"))


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"authorization": f"Bearer {SECRET}\n"}},
        {"headers": {"authorization": [SECRET]}},
        {"path": f"http://user:{SECRET}@host/"},
    ],
)
def test_a_reason_repeats_no_secret(fields: dict[str, object]) -> None:
    """Nor does what holds the request."""
    with pytest.raises(RecordError) as caught:
        parse_request(json.dumps({"body": {}, **fields}).encode())

    assert SECRET not in str(caught.value)
    headers = {"headers": {"authorization": SECRET}, "body": {"a": SECRET}}
    assert SECRET not in repr(parse_request(json.dumps(headers).encode()))


def test_what_is_only_read_has_no_body() -> None:
    """As the requests of a benchmark of a web application."""
    found = parse_request(b'{"method": "get", "path": "/items/1?bytes=5", "headers": {"X-A": "b"}}')

    assert (found.method, found.path, found.body) == ("GET", "/items/1?bytes=5", b"")
    assert found.headers == (("X-A", "b"),)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_what_changes_something_is_not_sent_again(method: str) -> None:
    """Without a body, only a GET can be meant to warm."""
    with pytest.raises(RecordError, match="method must be GET"):
        parse_request(json.dumps({"method": method, "path": "/items/1"}).encode())
