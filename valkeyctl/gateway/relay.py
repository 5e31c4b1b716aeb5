"""Passing a stream on as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.origin import OriginStream


class Relay(StreamingResponse):
    """The answer of an origin, chunk by chunk; closes the origin's call when it ends.

    Args:
        stream: What to pass on.
        stack: Holds the stream open; closed here, also when the caller leaves, so that
            the provider stops working on an answer that nobody reads.
        headers: Of the answer, beside the origin's own.
        request_id: Named in the error event, should the stream break.
        ended: Called when it is over.
    """

    def __init__(
        self,
        stream: OriginStream,
        stack: AsyncExitStack,
        *,
        headers: Mapping[str, str],
        request_id: str,
        ended: Callable[[], None],
    ) -> None:
        self._stack = stack
        self._ended = ended
        super().__init__(
            _chunks(stream, request_id),
            status_code=stream.status,
            # nginx and its like would collect the events otherwise.
            headers={**stream.headers, **headers, "x-accel-buffering": "no"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in the generator: one that was never started has no finally.
            await self._stack.aclose()
            self._ended()


async def _chunks(stream: OriginStream, request_id: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream.chunks:
            yield chunk
    except RequestFailure as failure:
        # The status is sent, so the protocol's own error event is all that is left. The
        # empty line ends an event that was cut in its middle; no [DONE] follows.
        yield b"\n\ndata: " + failure.body(request_id) + b"\n\n"
