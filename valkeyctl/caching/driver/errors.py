"""Every exception of redis-py, mapped once to a failure that a user can act on."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import Literal, TypeAlias

from redis import exceptions as theirs

from valkeyctl.caching.replies import error_from_reply
from valkeyctl.caching.tlsfault import tls_failure
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)

Meaning: TypeAlias = Literal["reply", "auth", "unreachable", "deadline", "usage"]

# Looked up along the MRO, so a new subclass takes its parent's meaning. The bases
# RedisError and Exception are left out on purpose: a new family must be placed here.
MEANINGS: dict[type[Exception], Meaning] = {
    theirs.ResponseError: "reply",
    theirs.BusyLoadingError: "reply",
    theirs.WatchError: "reply",
    theirs.ClusterError: "reply",
    theirs.ClusterDownError: "reply",
    theirs.AuthenticationError: "auth",
    theirs.AuthorizationError: "auth",
    theirs.AuthenticationWrongNumberOfArgsError: "auth",
    theirs.NoPermissionError: "auth",
    theirs.ExternalAuthProviderError: "auth",
    theirs.ConnectionError: "unreachable",
    theirs.InvalidResponse: "unreachable",
    theirs.RedisClusterException: "unreachable",
    theirs.TimeoutError: "deadline",
    theirs.DataError: "usage",
    theirs.PubSubError: "usage",
    theirs.LockError: "usage",
    theirs.InvalidPipelineStack: "usage",
    theirs.CrossSlotTransactionError: "usage",
    theirs.IncorrectPolicyType: "usage",
    theirs.ChildDeadlockedError: "usage",
}
# What the parser cuts off the text of the classes whose status it does not keep.
_FIRST_WORDS: dict[type[Exception], str] = {
    theirs.BusyLoadingError: "LOADING",
    theirs.WatchError: "EXECABORT",
}


def mapped(error: Exception, endpoint: Endpoint, *, connecting: bool = False) -> ValkeyctlError:
    """Return the failure that *error*, raised by redis-py or by the socket below it, means.

    Args:
        error: What was caught.
        endpoint: Where the call went; its password is blotted out of the message.
        connecting: Whether the connection was still being made, which is when a
            TLS failure means a wrong set-up and not a lost peer.
    """
    address = endpoint.address
    meaning = _meaning(error)
    if connecting and endpoint.tls and (fault := _tls_fault(error)) is not None:
        return tls_failure(endpoint, fault)
    text = _text(error)
    if endpoint.password:
        text = text.replace(endpoint.password, "***")
    if meaning == "deadline":
        return DeadlineError(f"no answer from {address}: {text}")
    if meaning == "reply":
        return error_from_reply(text, address, secret=endpoint.password)
    if meaning == "auth":
        failure = error_from_reply(text, address, secret=endpoint.password)
        # Some of them carry plain words and no code that would say so again.
        return failure if isinstance(failure, AuthError) else AuthError(str(failure))
    if meaning == "usage":
        return UsageError(f"{address} was not asked: {text}")
    # What the system said is clearer than what redis-py made of it.
    fault = next((link for link in _chain(error) if isinstance(link, OSError)), None)
    if fault is not None and fault.errno is not None:
        text = os.strerror(fault.errno) if fault.errno > 0 else str(fault.strerror)
    if connecting:
        return UnreachableError(f"cannot connect to {address}: {text}")
    return UnreachableError(f"the connection to {address} broke: {text}")


def reply_failure(error: Exception, endpoint: Endpoint) -> ServerReplyError | AuthError:
    """Return what an error reply in the place of an answer means."""
    failure = mapped(error, endpoint)
    if isinstance(failure, (ServerReplyError, AuthError)):
        return failure
    return ServerReplyError(str(failure), reply="ERR")


def _meaning(error: Exception) -> Meaning:
    for kind in type(error).__mro__:
        if kind in MEANINGS:
            return MEANINGS[kind]
    if isinstance(error, TimeoutError):
        return "deadline"
    return "unreachable"  # OSError, EOFError and the like: the transport gave up


def _text(error: Exception) -> str:
    text = str(error) or type(error).__name__
    status = getattr(error, "status_code", None)
    if not status:
        status = next((w for kind, w in _FIRST_WORDS.items() if isinstance(error, kind)), None)
    return text if not status or text.startswith(status) else f"{status} {text}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it came from; redis-py re-raises without ``from``."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _tls_fault(error: BaseException) -> OSError | None:
    kinds = (ssl.SSLError, FileNotFoundError, PermissionError)
    return next((link for link in _chain(error) if isinstance(link, kinds)), None)
