"""Next steps that work when they are followed to the letter."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

# What a user selects with, by each of its spellings.
_SELECTIONS = {
    "-p": "--profile",
    "--profile": "--profile",
    "--url": "--url",
    "--cacert": "--cacert",
    "--client-cert": "--client-cert",
    "--client-key": "--client-key",
    "--app": "--app",
    "--state-dir": "--state-dir",
}
# Commands that work on what the user selected; `init` or `--help` do not. To its end, or to
# where the sentence goes on, or to the words that are the server's.
_COMMAND = re.compile(
    r"\bvalkeyctl (?:deploy|status|url|logs|restart|down|health|smoke|keys|render|tls|secrets"
    r"|backup|restore|drill|connect)\b[^;,]*?(?= -- |[;,]|$)"
)


def with_selection(hint: str, argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Return *hint* with the options of *argv* that say which deployment is meant.

    "Stop it first: valkeyctl down" after ``valkeyctl -p shop deploy`` would otherwise
    stop another one.
    """
    match = _COMMAND.search(hint)
    if match is None or "--help" in hint:
        return hint
    words: list[str] = []
    selected = _selected(argv)
    if match[0] == "valkeyctl status" and _is_address(selected, environ):
        # It knows deployments, and would refuse this one or speak of another.
        return "Check its address, and that it runs"
    for option, value in selected.items():
        short = next(key for key in _SELECTIONS if _SELECTIONS[key] == option)
        if not re.search(rf"(?:{option}|{short})\b", match[0]):
            words += [option, value]
    if not words:
        return hint
    return f"{hint[: match.end()]} {shlex.join(words)}{hint[match.end() :]}"


def _is_address(selected: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Say whether the server was given by its URL, as `target.given_url` takes it."""
    if "--url" in selected:
        return True
    named = "--profile" in selected
    return not named and bool(environ.get("VALKEYCTL_URL") or environ.get("CACHE_URL"))


def _selected(argv: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word, following in pairwise([*argv, ""]):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        option = _SELECTIONS.get(name)
        given = value if equals else following
        if option == "--url":
            try:
                given = Endpoint.parse(given).url()  # never with its password
            except UsageError:
                continue
        if option and given:
            found[option] = given
    return found
