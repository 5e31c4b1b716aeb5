"""Answers of one connection, read piece by piece with llhttp."""

from __future__ import annotations

import httptools

from valkeyctl.bench.load.exchange import Exchange


class AnswerReader:
    """Puts the answers of one connection into their exchanges, one after another.

    Attributes:
        heard: At least a byte has come.
        complete: The answer is whole.
        keep_alive: Once complete: the server will take another request.
        to_the_end: The answer's head has come, and its body lasts until the server hangs up.
    """

    def __init__(self) -> None:
        self.heard = False
        self.complete = False
        self.keep_alive = False
        self.to_the_end = False
        self._framed = False
        self._in_head = True
        self._exchange: Exchange | None = None
        self._now = 0.0
        self._parser: httptools.HttpResponseParser | None = None

    def begin(self, exchange: Exchange) -> None:
        """Read into *exchange* from now on."""
        self._exchange = exchange
        self._begin()
        self.heard = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)

    def end(self) -> None:
        """Let go of the parser, which holds us: the collector is off while stages are played."""
        self._parser = None

    def feed(self, data: bytes, now: float) -> str:
        """Take in *data*, which came at *now*; return what is wrong with it, if anything."""
        parser = self._parser
        if parser is None:
            raise AssertionError("no answer has begun")
        self.heard = True
        self._now = now
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return "wrong HTTP: the server changed the protocol"
        except httptools.HttpParserError as error:
            return f"wrong HTTP: {error}"
        return ""

    def on_message_begin(self) -> None:
        """Begin an answer; a second one, which nobody asked for, ends the connection."""
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the few headers that matter."""
        exchange = self._exchange
        # What comes behind the body, as trailers, tells nothing of how it is read.
        if exchange is None or self.complete or not self._in_head:
            return
        match name.lower():
            case b"x-cache":
                exchange.outcome = value.decode("latin-1")
            case b"content-type":
                if value.lower().lstrip().startswith(b"text/event-stream"):
                    exchange.arrivals = []
            case b"content-length":
                self._framed = True
            case b"transfer-encoding":
                # Chunks alone say where a body ends. Source: RFC 9112, section 6.3.
                self._framed = value.rstrip().lower().endswith(b"chunked")

    def on_headers_complete(self) -> None:
        """Note the status, and how the body will end."""
        exchange = self._exchange
        if exchange is None or self._parser is None or self.complete:
            return
        self._in_head = False
        status = exchange.status = self._parser.get_status_code()
        self.to_the_end = not self._framed and status >= 200
        if exchange.bodiless and status >= 200:
            self._finish(self._parser.should_keep_alive())
            # It does not know that no body follows, and would wait for one.
            self._parser = None

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._exchange is not None and not self.complete:
            self._exchange.take(piece, self._now)

    def on_message_complete(self) -> None:
        """End the answer, unless it was one before the answer proper, such as 103."""
        exchange = self._exchange
        if exchange is None or self._parser is None or self.complete:
            return
        if 100 <= exchange.status < 200:
            exchange.forget()
            self._begin()
            return
        self._finish(self._parser.should_keep_alive())

    def _begin(self) -> None:
        self.complete = False
        self.keep_alive = False
        self.to_the_end = False
        self._framed = False
        self._in_head = True

    def _finish(self, keep_alive: bool) -> None:
        self.complete = True
        self.keep_alive = keep_alive
