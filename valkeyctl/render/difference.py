"""How rendered files differ from those in a folder; the caller does the reading."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """One file that is not as it is rendered.

    Attributes:
        file: Its name.
        status: ``missing`` when the folder has no such file.
        diff: Unified diff from the folder's text to the rendered one; ends with a newline.
    """

    file: str
    status: Literal["changed", "missing"]
    diff: str


def differences(rendered: Mapping[str, str], present: Mapping[str, str | None]) -> list[Difference]:
    """Return what to change so that *present* is as *rendered*; empty when nothing.

    Args:
        rendered: File name to text, such as `Artefacts.files`.
        present: File name to the text found in the folder; None, or no entry, where
            there is no such file. Files that are not rendered are not looked at.
    """
    found = []
    for name, text in sorted(rendered.items()):
        old = present.get(name)
        if old == text:
            continue
        diff = _unified(name, old, text)
        found.append(Difference(name, "missing" if old is None else "changed", diff))
    return found


def _unified(name: str, old: str | None, new: str) -> str:
    lines = difflib.unified_diff(
        _lines(old or ""),
        _lines(new),
        fromfile="/dev/null" if old is None else name,
        tofile=f"{name} (rendered)",
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    # Not splitlines(): it would also cut at \f and U+2028, and hide \r\n from the diff.
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [
        line for line in text.split("\n")[-1:] if line
    ]
