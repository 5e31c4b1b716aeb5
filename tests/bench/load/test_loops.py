"""Arrivals, users, and the timer beneath, with a server that answers when told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from valkeyctl.bench.load.loops import ClosedLoop, OpenLoop
from valkeyctl.bench.load.timer import FileTimer, LoopTimer, Timer, timer
from valkeyctl.bench.traffic.scenario import Expectation
from valkeyctl.bench.traffic.stream import Request


class Server:
    """Answers each request after *delay* seconds, and notes what was in flight."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.sent: list[tuple[int, float, bool]] = []
        self.late: list[float] = []
        self.in_flight = self.most = 0

    def __call__(
        self, request: Request, intended: float, then: Callable[[], None], *, queued: bool
    ) -> None:
        self.sent.append((request.index, intended, queued))
        self.late.append(time.perf_counter() - intended)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        gevent.spawn_later(self.delay, self._answer, then)

    def _answer(self, then: Callable[[], None]) -> None:
        self.in_flight -= 1
        then()


def requests(*dues: float | None) -> Iterator[Request]:
    """Yield requests that are due then."""
    for index, due in enumerate(dues):
        yield Request(index, 0, 0, "GET", "/", b"", (), Expectation(), due)


def broken(*dues: float) -> Iterator[Request]:
    """Yield requests, and then fail."""
    yield from requests(*dues)
    raise ValueError("no more of these")


@pytest.mark.parametrize("make", [FileTimer, LoopTimer])
def test_a_timer_fires_once_for_each_set(make: Callable[[Callable[[], None]], Timer]) -> None:
    """A second set replaces the first; at once where the time has passed."""
    fired: list[float] = []
    try:
        one = make(lambda: fired.append(time.perf_counter()))
    except OSError:
        pytest.skip("there is no timerfd here")
    begin = time.perf_counter()
    one.set(5.0)
    one.set(0.02)
    while not fired:
        gevent.sleep(0.001)

    assert fired[0] - begin >= 0.02
    one.set(-1.0)
    while len(fired) < 2:
        gevent.sleep(0.001)
    one.set(0.01)
    one.close()
    gevent.sleep(0.03)  # it would have fired by now
    assert len(fired) == 2


def test_without_a_timerfd_the_loop_s_own_timer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""

    class Nothing:
        def __init__(self, *_: object, **__: object) -> None:
            """Has no functions."""

    monkeypatch.setattr("valkeyctl.bench.load.timer.ctypes.CDLL", Nothing)

    one = timer(lambda: None)

    assert isinstance(one, LoopTimer)
    one.close()


def test_a_closed_loop_has_one_request_of_each_user_in_flight() -> None:
    """Each is sent once, in order, when an answer has come."""
    server = Server()

    ClosedLoop(server, requests(*[None] * 100), 7).run()

    assert [index for index, _, _ in server.sent] == list(range(100))
    assert server.most == 7
    assert server.in_flight == 0
    assert not any(queued for _, _, queued in server.sent)


def test_more_users_than_requests() -> None:
    """The others have nothing to do, and nobody waits for them."""
    server = Server()

    ClosedLoop(server, requests(None, None), 50).run()

    assert len(server.sent) == 2


def test_an_open_loop_follows_its_schedule_whatever_answers_do() -> None:
    """The first due is the beginning; answers take far longer than the gaps."""
    server = Server(delay=0.05)
    dues = [10.0 + number * 0.001 for number in range(40)]

    OpenLoop(server, requests(*dues), 1000).run()

    intended = [moment - server.sent[0][1] for _, moment, _ in server.sent]
    assert intended == pytest.approx([number * 0.001 for number in range(40)])
    assert min(server.late) >= 0
    assert server.most > 20
    assert not any(queued for _, _, queued in server.sent)


def test_what_finds_no_place_in_flight_waits_its_turn() -> None:
    """In order, marked, and with the time at which it was due."""
    server = Server(delay=0.01)

    OpenLoop(server, requests(*[0.0] * 30), 4).run()

    assert [index for index, _, _ in server.sent] == list(range(30))
    assert [queued for _, _, queued in server.sent] == [False] * 4 + [True] * 26
    assert server.most == 4
    assert len({intended for _, intended, _ in server.sent}) == 1


def test_an_open_loop_without_requests_is_over() -> None:
    """A block may be empty."""
    OpenLoop(Server(), requests(), 4).run()


@pytest.mark.parametrize("dues", [(), (0.0, 0.0)])
def test_what_fails_in_a_callback_fails_the_loop(dues: tuple[float, ...]) -> None:
    """A stage that nobody ends would wait for ever."""
    with pytest.raises(ValueError, match="no more of these"):
        ClosedLoop(Server(), broken(*dues), 2).run()
    with pytest.raises(ValueError, match="no more of these"):
        OpenLoop(Server(), broken(*dues), 2).run()


def test_a_failure_from_outside_ends_the_loop() -> None:
    """Such as a full disk under the samples."""
    loop = ClosedLoop(Server(delay=0.001), requests(*[None] * 10_000), 2)
    gevent.spawn_later(0.01, loop.fail, OSError("no space left"))

    with pytest.raises(OSError, match="no space left"):
        loop.run()
