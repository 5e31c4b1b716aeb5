"""Every failure that a user can act on, and the status the process ends with.

::

    ValkeyctlError
    |-- NotFoundError           1   the thing asked for is not there
    |-- UsageError              2   wrong option, argument or combination
    |   `-- InvalidKeyError     2   a key, namespace or tag that breaks the rules
    |-- ProfileError            2   a profile that cannot be used
    |   `-- BudgetError         2   the memory budget does not fit the limit
    |-- UnreachableError        3   no server answers
    |   |-- DeadlineError       3   it accepted the call and did not answer in time
    |   `-- BreakerOpenError    3   recent calls failed; this one was not sent
    |-- AuthError               3   the server refuses the user, password or command
    |-- TlsError                3   the TLS handshake failed
    |-- ServerReplyError        3   the server answered with an error
    |-- RefusedError            4   refused for safety; needs a yes
    |-- MissingError            5   a runtime, tool, extra or image is not there
    |-- PortTakenError          5   another process listens on the port
    |-- SubnetTakenError        5   another network has the addresses of a topology
    |-- StartError              5   the server ended, or never became ready
    |-- ToolError               5   podman or another tool failed
    |-- FolderError             5   a file or folder cannot be read or written
    |-- LockedError             5   another command works on the same deployment
    |-- PartialError            7   partly done and resumable
    |-- GateFailedError         8   the measured interval lies below the bound
    |-- InconclusiveError       9   the measured interval straddles the bound
    `-- InterruptedRunError   130   stopped by Ctrl-C or SIGTERM

Anything that is not one of these is a bug and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class ValkeyctlError(Exception):
    """Base of every failure a user can act on.

    Attributes:
        exit_code: Status the process ends with; listed in docs/reference/exit-codes.md.
        code: Stable word for programs; ``error.code`` of the JSON envelope.
        hint: What to do next, as one imperative sentence; None when we do not know.
    """

    exit_code: ClassVar[int]  # no default: the base is never raised
    code: ClassVar[str]

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class NotFoundError(ValkeyctlError):
    """The key, report or deployment asked for does not exist."""

    exit_code = 1
    code = "not_found"


class UsageError(ValkeyctlError):
    """An option, argument or combination of them that cannot be meant."""

    exit_code = 2
    code = "usage"


class InvalidKeyError(UsageError):
    """A key, namespace, application name or tag that breaks the key rules."""

    code = "invalid_key"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a profile.

    Attributes:
        file: The profile it stands in, as the user would name it.
        line: 1-based line; 0 when the key is absent, so that no line can be named.
        key: Dotted path, such as ``memory.limit``; empty for the whole file.
        text: What is wrong, and which values are allowed.
    """

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ProfileError(ValkeyctlError):
    """A profile that cannot be read, or whose fields cannot be meant.

    Attributes:
        problems: All that is wrong, in file order; the message is the first of them.
    """

    exit_code = 2
    code = "profile"

    def __init__(self, problems: tuple[Problem, ...], *, hint: str | None = None) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", hint=hint)
        self.problems = problems


class BudgetError(ProfileError):
    """The memory that the configuration may take does not fit the container limit."""

    code = "memory_budget"


class UnreachableError(ValkeyctlError):
    """No server answered PING within the deadline."""

    exit_code = 3
    code = "unreachable"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "Check that it is deployed: valkeyctl status")


class DeadlineError(UnreachableError):
    """A server accepted the call and did not answer within the budget."""


class BreakerOpenError(UnreachableError):
    """Recent calls failed, so this one was refused without being sent."""


class AuthError(ValkeyctlError):
    """The server refuses the user, the password, or the command for this user."""

    exit_code = 3
    code = "auth"


class TlsError(ValkeyctlError):
    """The TLS handshake failed: plain text against TLS, unknown CA, wrong name, expired."""

    exit_code = 3
    code = "tls"


class ServerReplyError(ValkeyctlError):
    """The server answered with an error reply: out of memory, read-only, wrong type.

    Attributes:
        reply: The first word of the reply, such as ``OOM`` or ``WRONGTYPE``.
    """

    exit_code = 3
    code = "server"

    def __init__(self, message: str, *, reply: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reply = reply


class RefusedError(ValkeyctlError):
    """Something destructive was asked for without a yes."""

    exit_code = 4
    code = "refused"


class MissingError(ValkeyctlError):
    """A runtime, tool, image, file or extra that the command needs is not there."""

    exit_code = 5
    code = "missing"


class PortTakenError(ValkeyctlError):
    """Another process listens on the port that the profile publishes."""

    exit_code = 5
    code = "port_taken"


class SubnetTakenError(ValkeyctlError):
    """Another network on this machine has the addresses that a topology would take."""

    exit_code = 5
    code = "subnet_taken"


class StartError(ValkeyctlError):
    """The server ended before it listened, or never became ready.

    Attributes:
        log: Its last lines, oldest first; empty when it wrote none.
    """

    exit_code = 5
    code = "start_failed"

    def __init__(self, message: str, *, log: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.log = log


class ToolError(ValkeyctlError):
    """podman, or another tool that we call, ended with a failure."""

    exit_code = 5
    code = "tool_failed"


class FolderError(ValkeyctlError):
    """A file or folder cannot be read, created or written."""

    exit_code = 5
    code = "folder"


class LockedError(ValkeyctlError):
    """Another valkeyctl works on the same deployment at this moment."""

    exit_code = 5
    code = "locked"


class PartialError(ValkeyctlError):
    """Part of the work is done; the hint is the command that resumes it."""

    exit_code = 7
    code = "partial"


class GateFailedError(ValkeyctlError):
    """The measured interval lies on the wrong side of the gate's bound."""

    exit_code = 8
    code = "gate_failed"


class InconclusiveError(ValkeyctlError):
    """The measured interval straddles the gate's bound."""

    exit_code = 9
    code = "inconclusive"


class InterruptedRunError(ValkeyctlError):
    """The user, or a supervisor, stopped the command."""

    exit_code = 130
    code = "interrupted"
