"""Questions and answers between a Locust master and its workers, as Locust's messages.

Locust carries messages of one's own between its processes (`Runner.send_message`). A call
is one to a worker, answered by one to the master with the same number. Locust neither
encrypts nor proves who speaks, so whatever a worker says carries the run's token, and what
comes without it is not heard.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import gevent
from gevent.event import AsyncResult, Event

from valkeyctl.bench.load.clocks import Offset
from valkeyctl.bench.load.orders import SILENCE
from valkeyctl.bench.load.player import Tally
from valkeyctl.errors import MissingError, ToolError, UsageError, ValkeyctlError

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc import Message
    from locust.runners import MasterRunner, WorkerRunner

JOIN, CALL, REPLY = "valkeyctl.join", "valkeyctl.call", "valkeyctl.reply"
TICK, DISMISS = "valkeyctl.tick", "valkeyctl.dismiss"
_LOOK = 0.25
_clock = time.perf_counter

Words: TypeAlias = Mapping[str, object]
Handler: TypeAlias = Callable[[Words], Words]


@dataclass
class Member:
    """A worker that has joined.

    Attributes:
        id: Locust's name for it.
        number: From 0, in the order of joining.
        host: Name of its machine.
        process: Its process id there.
        clock: `clocks.clock_name` of it.
        loopback: `clocks.loopback_name` of it.
        heard: When it last said anything.
        tally: Its samples, as it last told.
        offset: Of its clock to ours.
    """

    id: str
    number: int
    host: str
    process: int
    clock: str
    loopback: str
    heard: float
    tally: Tally = field(default_factory=lambda: Tally(0, 0))
    offset: Offset = field(default_factory=Offset)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"worker {self.number + 1} ({self.host}, process {self.process})"


class Desk:
    """The master's side: takes in workers, asks them, and notices when one is gone.

    Args:
        runner: Locust's master.
        token: What a worker must say.
        version: Of this program; one of another version is sent away.
        wanted: How many are taken.
    """

    def __init__(self, runner: MasterRunner, token: str, version: str, wanted: int) -> None:
        self.members: list[Member] = []
        self.strangers = 0
        self._runner = runner
        self._token = token.encode()
        self._version = version
        self._wanted = wanted
        self._complete = Event()
        self._waiting: dict[int, AsyncResult[Words]] = {}
        self._numbers = 0
        self._by_id: dict[str, Member] = {}
        runner.register_message(JOIN, self._joined)
        runner.register_message(REPLY, self._replied)
        runner.register_message(TICK, self._ticked)
        runner.environment.events.heartbeat_sent.add_listener(self._heard)  # type: ignore[no-untyped-call]

    def gather(self, patience: float) -> None:
        """Return when all workers have joined.

        Raises:
            MissingError: They had not after *patience* seconds.
            ToolError: One had, and is gone.
        """
        until = _clock() + patience
        while not self._complete.wait(_LOOK) and _clock() < until:
            self.check()
        if not self._complete.is_set():
            come = ", ".join(one.name for one in self.members) or "none"
            strangers = f"; {self.strangers} came without the token" if self.strangers else ""
            raise MissingError(
                f"{self._wanted} workers were waited for, and after {patience:.0f} s "
                f"{len(self.members)} had joined ({come}){strangers}",
                hint="Start them with valkeyctl bench worker, and check that this port can be "
                "reached from there",
            )
        self.check()

    def check(self) -> None:
        """Prove that every worker is there.

        Raises:
            ToolError: One has ended, or is silent; names it.
        """
        now = _clock()
        for member in self.members:
            if member.id not in self._runner.clients:
                raise ToolError(
                    f"{member.name} ended before the run did",
                    hint="See what it says on its machine",
                )
            if now - member.heard > SILENCE:
                raise ToolError(
                    f"{member.name} has been silent for {now - member.heard:.0f} s",
                    hint="See whether it runs and its machine can be reached",
                )

    def ask(self, member: Member, call: str, **words: object) -> Words:
        """Return *member*'s answer.

        Raises:
            ToolError: It is gone, or could not do what was asked.
            UsageError: It cannot be done there.
        """
        return self._answers([(member, self._send(member, call, words))])[0]

    def ask_all(self, call: str, words: Callable[[Member], Words]) -> list[Words]:
        """Return the answers of all workers, in the order of their numbers.

        Raises:
            ToolError, UsageError: As `ask`.
        """
        sent = [(one, self._send(one, call, words(one))) for one in self.members]
        return self._answers(sent)

    def _send(self, member: Member, call: str, words: Words) -> AsyncResult[Words]:
        self._numbers += 1
        answer: AsyncResult[Words] = AsyncResult()
        self._waiting[self._numbers] = answer
        message = {"number": self._numbers, "call": call, "words": dict(words)}
        self._runner.send_message(CALL, message, member.id)
        return answer

    def _answers(self, sent: list[tuple[Member, AsyncResult[Words]]]) -> list[Words]:
        pending = [answer for _, answer in sent]
        while pending:
            gevent.wait(pending, timeout=_LOOK, count=1)
            pending = [answer for answer in pending if not answer.ready()]
            if pending:
                self.check()
        found = [answer.get() for _, answer in sent]
        for (member, _), words in zip(sent, found, strict=True):
            if "error" in words:
                kind = UsageError if words.get("usage") else ToolError
                raise kind(f"{member.name}: {words['error']}", hint=_text(words.get("hint")))
        return found

    def _joined(self, environment: Environment, msg: Message) -> None:
        del environment
        words = self._known(msg)
        if words is None:
            self.strangers += 1
            return
        if words.get("version") != self._version:
            self._dismiss(
                msg.node_id,
                f"the master is valkeyctl {self._version}, this worker {words.get('version')}",
            )
        elif len(self.members) == self._wanted or msg.node_id in self._by_id:
            self._dismiss(msg.node_id, "the run has all the workers that it waits for")
        else:
            member = Member(
                msg.node_id,
                len(self.members),
                str(words["host"]),
                int(str(words["process"])),
                str(words["clock"]),
                str(words["loopback"]),
                _clock(),
            )
            self.members.append(member)
            self._by_id[member.id] = member
            self._send(member, "welcome", {})
            if len(self.members) == self._wanted:
                self._complete.set()

    def _dismiss(self, node: str, why: str) -> None:
        self._runner.send_message(DISMISS, {"why": why}, node)

    def _replied(self, environment: Environment, msg: Message) -> None:
        del environment
        words = self._known(msg)
        if words is None:
            return
        number, reply = words.get("number"), words.get("reply")
        answer = self._waiting.pop(number, None) if isinstance(number, int) else None
        if answer is not None and isinstance(reply, dict):
            self._hear(msg.node_id)
            answer.set(reply)

    def _ticked(self, environment: Environment, msg: Message) -> None:
        del environment
        words = self._known(msg)
        member = self._by_id.get(msg.node_id)
        if words is not None and member is not None:
            member.heard = _clock()
            member.tally = Tally(int(str(words["samples"])), int(str(words["failed"])))

    def _heard(self, client_id: str, **_: object) -> None:
        self._hear(client_id)

    def _hear(self, node: str) -> None:
        member = self._by_id.get(node)
        if member is not None:
            member.heard = _clock()

    def _known(self, msg: Message) -> Words | None:
        """Return what a message says, if who sent it knows the token."""
        data = msg.data
        if not isinstance(data, dict) or not isinstance(token := data.get("token"), str):
            return None
        return data if hmac.compare_digest(token.encode(), self._token) else None


class Counter:
    """A worker's side: answers the master's calls.

    Args:
        runner: Locust's worker.
        token: What the master wants to hear.
        dismissed: Called with the reason when the master sends us away.
    """

    def __init__(self, runner: WorkerRunner, token: str, dismissed: Callable[[str], None]) -> None:
        self.calls: dict[str, Handler] = {}
        self.heard = _clock()
        self._runner = runner
        self._token = token
        self._dismissed = dismissed
        # Concurrently: a stage is one call, and heartbeats must be read while it lasts.
        runner.register_message(CALL, self._called, concurrent=True)
        runner.register_message(DISMISS, self._sent_away)
        runner.environment.events.heartbeat_received.add_listener(self._alive)  # type: ignore[no-untyped-call]

    def say(self, kind: str, **words: object) -> None:
        """Send the master a message."""
        self._runner.send_message(kind, {**words, "token": self._token})

    def _called(self, environment: Environment, msg: Message) -> None:
        del environment
        self.heard = _clock()
        data = msg.data
        try:
            reply = self.calls[data["call"]](data["words"])
        except ValkeyctlError as error:
            reply = {
                "error": str(error),
                "hint": error.hint,
                "usage": isinstance(error, UsageError),
            }
        except Exception as error:  # noqa: BLE001 - the master must not wait for ever
            reply = {"error": f"{type(error).__name__}: {error}", "hint": None, "usage": False}
        self.say(REPLY, number=data["number"], reply=dict(reply))

    def _sent_away(self, environment: Environment, msg: Message) -> None:
        del environment
        self._dismissed(str(msg.data["why"]))

    def _alive(self, **_: object) -> None:
        self.heard = _clock()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
