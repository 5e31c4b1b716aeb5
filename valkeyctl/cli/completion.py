"""Shell completion, answered before anything is imported: a TAB must not wait.

The shells' scripts are typer's (``--install-completion``), and so is the protocol:
``_VALKEYCTL_COMPLETE`` says which shell asks, ``COMP_WORDS`` or ``_TYPER_COMPLETE_ARGS``
what stands on its line. Typer itself would import itself and the command first; this
answers from a table (`completion_table`) as typer does, and knows values as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = "_VALKEYCTL_COMPLETE"
_TABLE = Path(__file__).with_name("completion.tsv")
_SELECTING = {"--url": "url", "--profile": "profile", "--app": "app", "--state-dir": "state_dir"}


class Offer(NamedTuple):
    """A word that fits, and what it does."""

    word: str
    help: str = ""


class Param(NamedTuple):
    """An option or argument, as a line of the table describes it."""

    names: list[str]
    form: str
    traits: str
    help: str

    @property
    def is_option(self) -> bool:
        """Whether it is given by name."""
        return self.names[0].startswith("-")


class Table:
    """The commands and their parameters.

    Args:
        text: See `completion_table`.
    """

    def __init__(self, text: str) -> None:
        self.commands: dict[str, str] = {}
        self._params: dict[str, list[Param]] = {}
        params: list[Param] = []
        for line in text.splitlines():
            first, *fields = line.split("\t")
            if first.startswith("$"):
                path = first[2:]
                self.commands[path] = fields[0]
                params = self._params[path] = []
            else:
                params.append(Param(first.split(), *fields))

    def below(self, path: str) -> list[Offer]:
        """Return the commands right below *path*."""
        head = f"{path} " if path else ""
        return [
            Offer(one.removeprefix(head), text)
            for one, text in self.commands.items()
            if one.startswith(head) and one not in {path, "*"} and " " not in one[len(head) :]
        ]

    def params(self, path: str) -> list[Param]:
        """Return what *path* takes, the options of every command last."""
        return [*self._params[path], *self._params["*"]]

    def visible(self, path: str) -> list[Param]:
        """Return what its help names."""
        shown = self.params(path) if not path else self._params[path]
        return [param for param in shown if "hidden" not in param.traits]


class Position:
    """Where on a command line the next word will stand.

    Args:
        table: The commands.
        words: The whole words before it, the program's name left out.
    """

    def __init__(self, table: Table, words: list[str]) -> None:
        self.table = table
        self.path = ""
        self.used: list[str] = []
        self.given = 0
        self.awaited: Param | None = None
        self.ended = False  # by --
        self.selected: dict[str, str] = {}
        for word in words:
            self._take(word)

    def option(self, name: str) -> Param | None:
        """Return the option called *name* here."""
        return next((one for one in self.table.params(self.path) if name in one.names), None)

    def argument(self) -> Param | None:
        """Return the argument that the next word is for; None when there is none."""
        arguments = [one for one in self.table.params(self.path) if not one.is_option]
        if self.given < len(arguments):
            return arguments[self.given]
        return arguments[-1] if arguments and "many" in arguments[-1].traits else None

    def _take(self, word: str) -> None:
        if self.awaited is not None:
            self._select(self.awaited, word)
            self.awaited = None
        elif word == "--" and not self.ended:
            self.ended = True
        elif word.startswith("-") and len(word) > 1 and not self.ended:
            self._take_option(word)
        elif any(word == offer.word for offer in self.table.below(self.path)):
            self.path = f"{self.path} {word}".lstrip()
            self.used, self.given = [], 0
        else:
            self.given += 1

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        param = self.option(name)
        if param is None and not word.startswith("--"):
            # -qo json, -ojson: flags in one word, the last one with its value.
            for number, letter in enumerate(word[1:], 2):
                param = self.option(f"-{letter}")
                if param is None or param.form != "flag":
                    value = word[number:]
                    equals = value
                    break
                self.used += param.names
        if param is None:
            return
        self.used += param.names
        if equals:
            self._select(param, value)
        elif param.form != "flag":
            self.awaited = param

    def _select(self, param: Param, value: str) -> None:
        for name in param.names:
            if name in _SELECTING:
                self.selected[_SELECTING[name]] = value


def offers(table: Table, words: list[str], start: str, environ: Mapping[str, str]) -> list[Offer]:
    """Return the words that may stand where *start* was begun.

    Args:
        table: The commands.
        words: The whole words before it, without the program's name.
        start: The beginning of the word; ``--option=`` and the beginning of its value, too.
        environ: Says which server is meant when no option does.
    """
    position = Position(table, words)
    if start.startswith("-") and position.awaited is None and not position.ended:
        name, equals, value = start.partition("=")
        if not equals:
            return _options(position, start)
        param = position.option(name)
        found = _values(param, value, position, environ) if param else []
        return [Offer(f"{name}={one.word}", one.help) for one in found]
    param = position.awaited or position.argument()
    if param is not None:
        return _values(param, start, position, environ)
    return [offer for offer in table.below(position.path) if offer.word.startswith(start)]


def _options(position: Position, start: str) -> list[Offer]:
    def matching(params: list[Param]) -> list[Offer]:
        return [
            Offer(name, param.help)
            for param in params
            if param.is_option and ("many" in param.traits or param.names[0] not in position.used)
            for name in param.names
            if name.startswith(start)
        ]

    # What every command takes is offered to those who have begun to type it.
    table, path = position.table, position.path
    return matching(table.visible(path)) or matching(table.params(path))


def _values(
    param: Param, start: str, position: Position, environ: Mapping[str, str]
) -> list[Offer]:
    if param.form.startswith("one of "):
        found = param.form.split()[2:]
    elif param.form == "profile" and "/" not in start:
        found = list(_profiles(environ))
    elif param.form == "namespace":
        from valkeyctl.cli.namespaces import Selected, recall

        found = recall(Selected(**position.selected), environ)
    else:
        return []  # the shell offers files where we offer nothing
    return [Offer(word) for word in found if word.startswith(start)]


def _profiles(environ: Mapping[str, str]) -> Iterator[str]:
    """Return the names of profiles, from where `profile.load` looks for them."""
    from valkeyctl.cli.namespaces import is_word

    config = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    package = Path(__file__).resolve().parents[1]
    folders = (
        Path("profiles"),
        config / "valkeyctl" / "profiles",
        package / "profiles",
        package.parent / "profiles",
    )
    seen: set[str] = set()
    for folder in folders:
        seen.update(file.stem for file in folder.glob("*.yaml") if is_word(file.stem))
    return iter(sorted(seen))


def answer(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return what to print to the shell that asks, and the status to end with.

    None where the question is not one of ours: typer knows more shells, and prints the
    scripts. A line that cannot be understood is answered with nothing.
    """
    action, _, shell = environ.get(VARIABLE, "").partition("_")
    if action != "complete" or shell not in {"bash", "zsh", "fish"}:
        return None
    try:
        words, start = _bash_words(environ) if shell == "bash" else _line_words(environ)
        table = Table(_TABLE.read_text(encoding="utf-8"))
        found = offers(table, words, start, environ)
    except (ValueError, LookupError, OSError, RuntimeError):  # the last: nobody's home
        found = []
    if shell == "zsh":
        return _for_zsh(found), 0
    if shell == "fish":
        if environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
            return "", 0 if found else 1
        return "".join(
            f"{one.word}\t{one.help}\n" if one.help else f"{one.word}\n" for one in found
        ), 0
    return "".join(f"{one.word}\n" for one in found), 0


def _bash_words(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the whole words before the cursor, and the beginning of the one at it.

    Bash breaks words at ``=`` and ``:``, so that URLs come in pieces; and it replaces only
    the last piece, so that the value alone is what it is to be answered with.
    """
    pieces = _split(environ["COMP_WORDS"])[1 : int(environ["COMP_CWORD"]) + 1]
    if len(pieces) < int(environ["COMP_CWORD"]):
        pieces.append("")
    words: list[str] = []
    glue = False
    for piece in pieces:
        breaks = piece != "" and not piece.strip(":=")
        if piece == "=" and words and words[-1].startswith("-"):
            words.append("")  # --option=value
            glue = True
            continue
        if words and (breaks or glue):
            words[-1] += piece
        else:
            words.append(piece)
        glue = breaks
    return words[:-1], words[-1]


def _line_words(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the same of zsh and fish, which give the line up to the cursor."""
    line = environ.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)[1:]
    return (words, "") if line[-1:].isspace() or not words else (words[:-1], words[-1])


def _split(text: str) -> list[str]:
    if not any(character in text for character in "'\"\\"):
        return text.split()
    import shlex

    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # a quote that is still open
        words.append(lexer.token)
    return words


def _for_zsh(found: list[Offer]) -> str:
    if not found:
        return "_files\n"

    def escaped(text: str) -> str:
        for character, written in (('"', '""'), ("'", "''"), ("$", "\\$"), ("`", "\\`")):
            text = text.replace(character, written)
        return text.replace(":", r"\\:")

    items = [
        f'"{escaped(one.word)}":"{escaped(one.help)}"' if one.help else f'"{escaped(one.word)}"'
        for one in found
    ]
    return f"_arguments '*: :(({chr(10).join(items)}))'\n"
