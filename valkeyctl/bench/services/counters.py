"""Whether an application of the user's counts what a gate is about, asked before the run."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

from valkeyctl.bench.arm import mask_url
from valkeyctl.bench.load.answers import ORIGIN_CALLS, origin_calls
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.target import Target
from valkeyctl.errors import UsageError

_TIMEOUT = 5.0
_MOST_BYTES = 10_000_000
_CHUNK = 1 << 16
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check_counters(expression: str, plan: Plan, target: Target) -> None:
    """Prove that every application that the run does not start counts its origin calls.

    One that does not answer at all is left to the run, which says so in words of its own.

    Raises:
        UsageError: One answers ``/metrics`` without the counter that the gate *expression*
            needs. Better now than after half an hour.
    """
    urls = dict.fromkeys(url for arm in plan.arms if (url := arm.url or target.url))
    for url in urls:
        page = _metrics(url)
        if page is not None and origin_calls(page) is None:
            raise UsageError(
                f"the gate {expression!r} needs the calls to the origin, and "
                f"{mask_url(url)}/metrics does not count them",
                hint=f"Serve {ORIGIN_CALLS} there, or gate on misses",
            )


def _metrics(url: str) -> str | None:
    """Return what *url* serves as metrics, empty when it has no such page; None when silent."""
    try:
        with _opener.open(f"{url}/metrics", timeout=_TIMEOUT) as answer:
            return _text(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return ""
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _text(answer: http.client.HTTPResponse) -> str | None:
    """Return the beginning of the body; None of one that takes longer than the whole may."""
    until = time.monotonic() + _TIMEOUT
    body = b""
    while len(body) < _MOST_BYTES and (piece := answer.read1(_CHUNK)):
        body += piece
        if time.monotonic() > until:
            return None
    return body.decode("utf-8", errors="replace")
