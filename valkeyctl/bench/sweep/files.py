"""The two files that a curve or a sweep leaves behind."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.sweep.page import Page
from valkeyctl.errors import FolderError


def write_report(
    folder: Path, json_name: str, document: Mapping[str, Node], html_name: str, page: Page
) -> None:
    """Write *document* and *page* into *folder*, which is made if absent.

    Raises:
        FolderError: They cannot be written.
    """
    html = page.render()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / json_name).write_text(_text(document), encoding="utf-8")
        (folder / html_name).write_text(html, encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"{folder}: the report cannot be written: {error.strerror or error}",
            hint="Give another folder with --out",
        ) from error


def _text(document: Mapping[str, Node]) -> str:
    return json.dumps(_finite(document), indent=1, allow_nan=False) + "\n"


def _finite(node: object) -> object:
    """Return *node* with null for what JSON has no number for."""
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    if isinstance(node, Mapping):
        return {key: _finite(value) for key, value in node.items()}
    return [_finite(value) for value in node] if isinstance(node, list) else node
