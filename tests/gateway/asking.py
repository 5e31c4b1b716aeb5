"""Requests as a client sends them, and what the tests read in the answers."""

from __future__ import annotations

import re
from typing import Any

import httpx

CHAT = "/v1/chat/completions"


def question(text: str = "what is a cache?", **fields: object) -> dict[str, object]:
    """Return a chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}


async def ask(
    http: httpx.AsyncClient,
    text: str = "what is a cache?",
    *,
    headers: Any = None,
    **fields: object,
) -> httpx.Response:
    """Send a chat request."""
    return await http.post(CHAT, json=question(text, **fields), headers=headers)


async def metric(http: httpx.AsyncClient, sample: str) -> float:
    """Return the value of one sample of the metrics page, such as ``name{label="x"}``."""
    page = (await http.get("/metrics")).text
    match = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    if match is None:
        raise AssertionError(f"{sample} is not on the page:\n{page}")
    return float(match[1])
