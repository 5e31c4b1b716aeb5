"""Arrivals, users, and the timer beneath, with a server that answers when told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
import pytest

from valkeyctl.bench.load.loops import ClosedLoop, OpenLoop
from valkeyctl.bench.load.source import Cursor
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


def later(*dues: float, first: int = 0) -> Cursor:
    """Return requests of later blocks that are due then, numbered from *first* on."""
    cursor = Cursor(replace(one, index=first + one.index) for one in requests(*dues))
    cursor.limit = len(dues)
    return cursor


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

    OpenLoop(server, requests(*dues), 1000, ahead=later()).run()

    intended = [moment - server.sent[0][1] for _, moment, _ in server.sent]
    assert intended == pytest.approx([number * 0.001 for number in range(40)])
    assert min(server.late) >= 0
    assert server.most > 20
    assert not any(queued for _, _, queued in server.sent)


def test_what_finds_no_place_in_flight_waits_its_turn() -> None:
    """In order, marked, and with the time at which it was due."""
    server = Server(delay=0.01)

    OpenLoop(server, requests(*[0.0] * 30), 4, ahead=later()).run()

    assert [index for index, _, _ in server.sent] == list(range(30))
    assert [queued for _, _, queued in server.sent] == [False] * 4 + [True] * 26
    assert server.most == 4
    assert len({intended for _, intended, _ in server.sent}) == 1


def test_what_waits_for_a_place_is_not_made_before_its_turn() -> None:
    """A million arrivals that nobody takes up would be gigabytes of requests."""
    made: list[int] = []
    most = 0

    def noted() -> Iterator[Request]:
        for one in requests(*[0.0] * 200):
            made.append(one.index)
            yield one

    class Counting(Server):
        def __call__(
            self, request: Request, intended: float, then: Callable[[], None], *, queued: bool
        ) -> None:
            nonlocal most
            most = max(most, len(made) - len(self.sent))
            super().__call__(request, intended, then, queued=queued)

    server = Counting(delay=0.001)

    OpenLoop(server, noted(), 4, ahead=later()).run()

    assert len(server.sent) == 200
    assert most == 1


def test_a_loop_that_has_caught_up_keeps_its_schedule_again() -> None:
    """A burst waits for places; what is due long after it does not, and is not early."""
    server = Server(delay=0.005)
    dues = [0.0] * 12 + [0.1 + number * 0.01 for number in range(5)]

    OpenLoop(server, requests(*dues), 4, ahead=later()).run()

    assert [queued for _, _, queued in server.sent] == [False] * 4 + [True] * 8 + [False] * 5
    assert min(server.late) >= 0
    begin = server.sent[0][1]
    assert [moment - begin for _, moment, _ in server.sent] == pytest.approx(dues)


def test_without_a_timerfd_arrivals_come_in_time_and_stalls_are_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS: to a millisecond or two, never early, and none is left out."""

    def none(_: Callable[[], None]) -> FileTimer:
        raise OSError("this system has no timerfd")

    monkeypatch.setattr("valkeyctl.bench.load.timer.FileTimer", none)
    server = Server()
    dues = [number * 0.002 for number in range(200)]
    gevent.spawn_later(0.15, time.sleep, 0.1)  # the whole process stands still

    OpenLoop(server, requests(*dues), 1000, ahead=later()).run()

    late = sorted(server.late)
    begin = server.sent[0][1]
    assert [moment - begin for _, moment, _ in server.sent] == pytest.approx(dues)
    assert late[0] >= 0
    # Half of them are before or long after the stall.
    assert late[100] < 0.02
    # 50 were due while nothing moved: their lateness is the rest of the stall.
    assert late[-1] >= 0.09
    assert sum(one > 0.045 for one in late) >= 20


def test_an_open_loop_without_requests_is_over() -> None:
    """A block may be empty."""
    OpenLoop(Server(), requests(), 4, ahead=later()).run()


@pytest.mark.parametrize("dues", [(), (0.0, 0.0)])
def test_what_fails_in_a_callback_fails_the_loop(dues: tuple[float, ...]) -> None:
    """A stage that nobody ends would wait for ever."""
    with pytest.raises(ValueError, match="no more of these"):
        ClosedLoop(Server(), broken(*dues), 2).run()
    with pytest.raises(ValueError, match="no more of these"):
        OpenLoop(Server(), broken(*dues), 2, ahead=later()).run()


def test_a_failure_from_outside_ends_the_loop() -> None:
    """Such as a full disk under the samples."""
    loop = ClosedLoop(Server(delay=0.001), requests(*[None] * 10_000), 2)
    gevent.spawn_later(0.01, loop.fail, OSError("no space left"))

    with pytest.raises(OSError, match="no space left"):
        loop.run()


def test_the_schedule_goes_on_while_answers_of_the_block_are_outstanding() -> None:
    """A stall at the end of a block delays all that was due meanwhile, and not the block alone."""
    server = Server(delay=0.2)
    ahead = later(*[0.03 + 0.01 * number for number in range(500)], first=3)

    OpenLoop(server, requests(0.0, 0.01, 0.02), 1000, ahead=ahead).run()

    sent = [index for index, _, _ in server.sent]
    assert sent == list(range(len(sent)))
    # The last answer of the block comes 0.22 s after its beginning.
    assert 15 <= len(sent) - 3 <= 100
    assert server.in_flight == 0
    dues = [intended for _, intended, _ in server.sent]
    assert dues[-1] - dues[0] == pytest.approx(0.01 * (len(sent) - 1))
    # The next block begins with what was not sent.
    assert next(ahead).index == len(sent)


def test_nothing_is_sent_ahead_when_all_answers_are_there() -> None:
    """What would come next is given back, and nobody waits for it."""
    server = Server()
    ahead = later(5.0, first=2)
    begin = time.perf_counter()

    OpenLoop(server, requests(0.0, 0.01), 10, ahead=ahead).run()

    assert [index for index, _, _ in server.sent] == [0, 1]
    assert time.perf_counter() - begin < 2
    assert next(ahead).index == 2


def test_a_block_of_a_target_that_is_far_too_slow_ends_in_bounded_time() -> None:
    """What has fallen due by then is left to the next block, whose turn may never come."""
    server = Server(delay=0.02)
    ahead = later(*[0.0] * 1000, first=4)
    begin = time.perf_counter()

    OpenLoop(server, requests(*[0.0] * 4), 2, ahead=ahead, longest=0.1).run()

    sent = [index for index, _, _ in server.sent]
    assert sent == list(range(len(sent)))
    assert 4 <= len(sent) < 30
    assert time.perf_counter() - begin < 2
    assert server.in_flight == 0
    assert next(ahead).index == len(sent)


def test_what_fell_due_meanwhile_is_sent_even_when_it_waits_for_a_place() -> None:
    """However few may be in flight: what was due before the block's last answer was delayed."""
    server = Server(delay=0.05)
    ahead = later(*[0.004] * 10, 60.0, first=4)

    OpenLoop(server, requests(*[0.0] * 4), 2, ahead=ahead).run()

    assert [index for index, _, _ in server.sent] == list(range(14))
    assert server.most == 2
    assert all(queued for _, _, queued in server.sent[2:])
    assert next(ahead).index == 14
