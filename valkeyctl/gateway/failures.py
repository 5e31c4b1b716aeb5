"""What a caller is told when there is no answer: an OpenAI error object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from starlette.responses import Response

ErrorType = Literal["invalid_request_error", "server_error"]


class RequestFailure(Exception):  # noqa: N818 - it is an answer to the caller, not a bug of ours
    """A request that ends with an error answer; everything in it is for the caller to see.

    Attributes:
        status: HTTP status.
        code: Stable word for programs, such as ``upstream_timeout``.
        message: One sentence for a person.
        param: The field or header that is wrong; None when it is none of them.
        headers: To send with it, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    @property
    def type(self) -> ErrorType:
        """Who has to act: the caller, or whoever runs the service."""
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self, request_id: str) -> bytes:
        """Return the OpenAI error object, with the correlation id for a support request."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            "request_id": request_id,
        }
        return json.dumps({"error": error}).encode()

    def response(self, request_id: str) -> Response:
        """Return the HTTP answer."""
        return Response(
            self.body(request_id),
            status_code=self.status,
            media_type="application/json",
            headers={"cache-control": "private, no-store", **self.headers},
        )


def wrong(message: str, *, param: str | None = None, code: str = "invalid_value") -> RequestFailure:
    """Return the failure of a request that is malformed; the caller raises it."""
    return RequestFailure(400, code, message, param=param)
