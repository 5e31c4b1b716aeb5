"""``valkeyctl connect``: a prompt on a deployment, or one command there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    ServerReplyError,
    UsageError,
    ValkeyctlError,
)

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.prompt.conversation import Conversation
    from valkeyctl.ops.prompt.program import Container

app = new_app()
_ENOUGH = frozenset({b"exit", b"quit"})
_SETUP = 5.0  # seconds in which a server must answer before a prompt begins


@app.command(cls=Command)
def connect(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="One command to run, instead of a prompt."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="ACL user to log in as.")
    ] = None,
    deadline: Annotated[
        float,
        typer.Option("--deadline", min=0.05, max=86400, help="Seconds that an answer may take."),
    ] = 30.0,
) -> None:
    """Open a prompt on a deployment, or run one command there."""
    endpoint = _as_user(ctx, user)
    for_people = options(ctx).output is Output.TABLE
    if words:
        _run_one(ctx, endpoint, [os.fsencode(word) for word in words], deadline)
    elif not sys.stdin.isatty():
        _run_lines(ctx, endpoint, sys.stdin, deadline)
    elif not for_people:
        raise UsageError(
            "a prompt is for people and has no such output",
            hint="Name a command: valkeyctl connect -o json -- PING",
        )
    else:
        _prompt(ctx, endpoint, deadline)


def _as_user(ctx: typer.Context, user: str | None) -> Endpoint:
    if user is None:
        return target.endpoint(ctx)
    if target.given_url(ctx):
        return replace(target.endpoint(ctx), username=user)
    return target.endpoint(ctx, user)


def _run_one(ctx: typer.Context, endpoint: Endpoint, command: list[bytes], deadline: float) -> None:
    """Run one command and print its answer; an error reply fails as everywhere."""
    from valkeyctl.ops.prompt.conversation import Conversation

    with Conversation(endpoint, deadline=deadline) as conversation:
        reply = conversation.ask(command)
        address = conversation.address

    def human(_: Console) -> None:
        _print(reply, command)

    show(ctx, {"address": address, "replies": [{"reply": reply}]}, human=human)


def _run_lines(ctx: typer.Context, endpoint: Endpoint, lines: TextIO, deadline: float) -> None:
    """Run each line of *lines*; status 3 when one of them was refused."""
    from valkeyctl.ops.prompt.conversation import Conversation
    from valkeyctl.ops.prompt.words import split_line

    for_people = options(ctx).output is Output.TABLE
    replies: list[dict[str, object]] = []
    refused = 0
    with Conversation(endpoint, deadline=deadline) as conversation:
        conversation.open()
        for number, line in enumerate(lines, 1):
            try:
                command = split_line(line)
            except UsageError as error:
                raise UsageError(f"line {number}: {error}", hint=error.hint) from error
            if not command:
                continue
            if command[0].lower() in _ENOUGH:
                break
            try:
                reply = conversation.ask(command)
            except (AuthError, ServerReplyError) as error:
                refused += 1
                replies.append({"error": {"code": error.code, "message": str(error)}})
                if for_people:
                    sys.stderr.write(f"line {number}: {error}\n")
                continue
            replies.append({"reply": reply})
            if for_people:
                _print(reply, command)
        address = conversation.address
    if not for_people:
        data = {"address": address, "replies": replies}
        show(ctx, data, human=lambda _: None, status="fail" if refused else "ok")
    raise typer.Exit(ServerReplyError.exit_code if refused else 0)


def _print(reply: object, command: list[bytes]) -> None:
    from valkeyctl.ops.prompt.words import raw_reply, show_reply

    if sys.stdout.isatty():
        sys.stdout.write(f"{show_reply(reply, command)}\n")
        return
    # As it is: a value may be anything, and the reader is a program.
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(raw_reply(reply).decode("utf-8", "backslashreplace") + "\n")
    else:
        buffer.write(raw_reply(reply) + b"\n")
        buffer.flush()


def _prompt(ctx: typer.Context, endpoint: Endpoint, deadline: float) -> None:
    """Give the terminal to valkey-cli, or else to a prompt of ours."""
    from valkeyctl.ops.prompt.program import entrance, program, server_container

    def container() -> Container | None:
        if target.given_url(ctx):
            return None  # a server that is merely reached has no container of ours
        return server_container(target.profile(ctx), target.state(ctx))

    # Looked for first: a server that is not there is one sentence, whatever the program.
    server = entrance(endpoint, timeout=_SETUP)
    found = program(server, container)
    if found is None:
        say(ctx, "no valkey-cli on PATH or in a container; this is a prompt of valkeyctl")
        _own_prompt(endpoint, deadline)
        return
    say(ctx, f"{endpoint.address} by {found.where}")
    sys.stderr.flush()
    sys.stdout.flush()
    # It takes our place, so that the terminal, its signals and its status are its own.
    os.execvpe(found.arguments[0], found.arguments, {**os.environ, **found.environment})  # noqa: S606 - arguments of ours


def _own_prompt(endpoint: Endpoint, deadline: float) -> None:
    with contextlib.suppress(ImportError):  # some builds of Python have none
        import readline  # noqa: F401 - input() edits lines once it is there

    from valkeyctl.ops.prompt.conversation import Conversation

    with Conversation(endpoint, deadline=deadline) as conversation:
        conversation.open()
        for line in _typed(conversation):
            _answer(conversation, line)


def _typed(conversation: Conversation) -> Iterable[str]:
    """Yield what the user types, until the end of input, ``exit`` or ``quit``."""
    while True:
        try:
            line = input(f"{conversation.address}> ")
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            continue  # the line is given up, not the prompt
        if line.strip().lower().encode() in _ENOUGH:
            return
        yield line


def _answer(conversation: Conversation, line: str) -> None:
    from valkeyctl.ops.prompt.conversation import refusal
    from valkeyctl.ops.prompt.words import show_reply, split_line

    try:
        command = split_line(line)
        if command:
            sys.stdout.write(f"{show_reply(conversation.ask(command), command)}\n")
    except (AuthError, ServerReplyError) as error:
        sys.stdout.write(f"(error) {refusal(error)}\n")
    except ValkeyctlError as error:
        # A prompt outlives what goes wrong at it: a failover, a typing mistake.
        sys.stdout.write(f"error: {error}\n")
