"""A server that answers what a test tells it to, for answers no embedded Valkey gives."""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from valkeyctl.endpoint import Endpoint


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    answers: Mapping[bytes, Sequence[bytes]]
    asked: Counter[bytes]


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("_Server", self.server)
        while header := self.rfile.readline():
            words = []
            for _ in range(int(header[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2])
            name = words[0].upper()
            answers = server.answers.get(name, [b"+OK\r\n"])
            self.wfile.write(answers[min(server.asked[name], len(answers) - 1)])
            server.asked[name] += 1


def bulk(*words: str) -> bytes:
    """Return *words* as a RESP array of bulk strings."""
    parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{parts}".encode()


def page(cursor: int, *keys: str) -> bytes:
    """Return one answer to SCAN."""
    return b"*2\r\n$%d\r\n%d\r\n" % (len(str(cursor)), cursor) + bulk(*keys)


@contextmanager
def scripted_server(answers: Mapping[bytes, Sequence[bytes]]) -> Iterator[Endpoint]:
    """Yield the address of a server that answers each command by its first word.

    Args:
        answers: Per first word, raw answers in their order; the last one repeats.
            ``+OK`` to any other command.
    """
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.answers = answers
        server.asked = Counter()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Endpoint(port=server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
