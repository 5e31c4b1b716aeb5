"""The gateway's log: one JSON object a line, never a prompt, a key or a credential.

The logger is the gateway's own. structlog's global configuration belongs to the program,
so only `take_over_logging`, which the gateway's own process calls, touches it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

_SERVICE = "valkeyctl-gateway"


class _Stderr:
    """Where the lines go; a reader that went away must not fail a request."""

    def msg(self, line: str) -> None:
        try:
            sys.stderr.write(line + "\n")
        except (OSError, ValueError):  # ValueError: stderr is closed
            return

    debug = info = warning = error = critical = msg


def open_journal(level: str) -> FilteringBoundLogger:
    """Return a logger that writes JSON lines from *level* on to stderr."""
    logger = structlog.wrap_logger(
        _Stderr(),
        processors=_processors(),
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        service=_SERVICE,
    )
    # Bound once: wrap_logger's lazy proxy would be assembled anew at every line.
    return cast("FilteringBoundLogger", logger.bind())


def take_over_logging(journal: FilteringBoundLogger, level: str) -> None:
    """Send what the rest of this process logs to stderr as JSON lines too.

    For the gateway's own process only: it replaces structlog's configuration and the
    handlers of the root logger.
    """
    structlog.configure(
        processors=[_add_service, *_processors()],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=lambda *_names: _Stderr(),
    )
    root = logging.getLogger()
    root.handlers = [JournalHandler(journal)]
    root.setLevel(logging.WARNING)


def _processors() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.JSONRenderer(),
    ]


def _add_service(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["service"] = _SERVICE
    return event


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def frames(error: BaseException) -> list[str]:
    """Return what was raised, and where, newest first, without any exception's text.

    The text of an exception may quote the data that broke the code, which here is a
    prompt or an answer; types and places are enough to find a bug.
    """
    lines: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        lines.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        lines += [
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in reversed(traceback.extract_tb(cause.__traceback__))
        ]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return lines


class JournalHandler(logging.Handler):
    """Brings lines of the standard library's logging (uvicorn, asyncio) into the journal."""

    def __init__(self, journal: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* as one line."""
        error = record.exc_info[1] if record.exc_info else None
        fields: dict[str, object] = {"logger": record.name}
        if error is not None:
            fields["error"] = frames(error)
        message = record.getMessage()
        if record.name == "asyncio":
            # The lines below the first show the task, and with it the exception's text.
            message = message.partition("\n")[0]
        write = self._journal.error if record.levelno >= logging.ERROR else self._journal.warning
        write(message, **fields)
