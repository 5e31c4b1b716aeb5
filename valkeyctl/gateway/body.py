"""Reading a request's body: bounded in size and in time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from valkeyctl.gateway.failures import RequestFailure, wrong


async def read_body(request: Request, *, limit: int, patience: float) -> bytes:
    """Return the whole body.

    Args:
        request: Nothing of its body may have been read.
        limit: Bytes at most.
        patience: Seconds until it must be there; a caller that sends a byte now and then
            would otherwise hold a connection and its memory for ever.

    Raises:
        RequestFailure: 413 too large, 408 too slow, 415 not JSON by its headers, 400 a
            Content-Length that is no number.
        ClientDisconnect: The caller left.
    """
    _check_headers(request, limit)
    body = bytearray()
    try:
        async with asyncio.timeout(patience):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise RequestFailure(
            408, "request_timeout", f"the body was not complete after {patience:g} s"
        ) from error
    return bytes(body)


def _check_headers(request: Request, limit: int) -> None:
    kind = request.headers.get("content-type")
    # A web page may send any other kind to this address without asking (CORS "simple
    # requests"), and would spend the upstream key of whoever visits it.
    if kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise RequestFailure(
            415,
            "unsupported_media_type",
            "send the body with Content-Type: application/json",
            param="content-type",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestFailure(
            415,
            "unsupported_media_type",
            "send the body without Content-Encoding",
            param="content-encoding",
        )
    length = request.headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise wrong("'content-length' is no number", param="content-length")
    if int(length[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> RequestFailure:
    return RequestFailure(413, "request_too_large", f"the body is larger than {limit} bytes")
