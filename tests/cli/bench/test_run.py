"""``valkeyctl bench`` on an application of one's own: what it prints, writes and ends with."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.bench.conftest import EXAMPLES, GATES, Recorded
from tests.cli.conftest import Run
from tests.conftest import free_port

SCENARIO = ("--scenario", str(EXAMPLES / "articles.yaml"))


def cases(text: str) -> dict[str | None, str]:
    """Return how each case of a JUnit file ended."""
    root = ET.fromstring(text)  # noqa: S314 - our own text
    return {
        case.get("name"): next((child.tag for child in case), "passed")
        for case in root.iter("testcase")
    }


def test_the_example_of_the_guide_is_measured(recorded: Recorded) -> None:
    """The cache is found by its bypass header, and the worst gate decides the status."""
    envelope = json.loads(recorded.done.stdout)
    data = envelope["data"]

    assert recorded.done.returncode == 8, recorded.done.stderr
    assert (envelope["kind"], envelope["status"]) == ("bench", "fail")
    assert [arm["name"] for arm in data["arms"]] == ["cached", "uncached", "uncached-again"]
    cached, uncached, again = data["arms"]
    assert cached["errors"] == uncached["errors"] == again["errors"] == 0
    assert cached["hits"] > uncached["hits"] == 0
    assert {one["baseline"] for one in data["comparisons"]} == {"uncached"}
    assert [gate["expression"] for gate in data["gates"]] == list(GATES)
    assert [gate["outcome"] for gate in data["gates"]] == ["passed", "passed", "failed"]
    assert "gate p50_speedup>=1000: failed" in recorded.done.stderr


def test_every_gate_and_arm_is_a_case_for_ci(recorded: Recorded) -> None:
    """Gates as they were decided, and one case for the answers of each arm."""
    assert cases(recorded.junit) == {
        "the run": "passed",
        "answers of arm cached": "passed",
        "answers of arm uncached": "passed",
        "answers of arm uncached-again": "passed",
        "gate errors<=0": "passed",
        "gate hits>=1": "passed",
        "gate p50_speedup>=1000": "failure",
    }


def test_the_times_of_the_cases_add_up_to_the_run(recorded: Recorded) -> None:
    """A CI server adds them; each arm has the time that its own blocks took."""
    run = json.loads((recorded.folder / "run.json").read_text())
    lines = (recorded.folder / "stages.jsonl").read_text().splitlines()
    stages = [json.loads(line) for line in lines]
    began, ended = (datetime.fromisoformat(run["facts"][key]) for key in ("started", "ended"))

    root = ET.fromstring(recorded.junit)  # noqa: S314 - our own text

    times = {case.get("name"): float(case.get("time", "")) for case in root.iter("testcase")}
    assert times["answers of arm cached"] == pytest.approx(
        sum(one["end"] - one["begin"] for one in stages if one["arm"] == 0), abs=0.001
    )
    assert times["gate errors<=0"] == 0
    whole = max((ended - began).total_seconds(), sum(one["end"] - one["begin"] for one in stages))
    assert sum(times.values()) == pytest.approx(whole, abs=0.01)
    assert float(root.get("time", "")) == pytest.approx(whole, abs=0.01)


def test_the_text_for_a_pull_request_is_where_it_was_asked_for(recorded: Recorded) -> None:
    """The same as in the folder."""
    assert "cached" in recorded.markdown
    assert recorded.markdown == (recorded.folder / "report.md").read_text()


def test_a_dry_run_shows_the_plan_and_starts_nothing(ctl: Run, home: Path) -> None:
    """Nothing listens there, and nobody notices."""
    target = f"http://127.0.0.1:{free_port()}"
    words = ("bench", *SCENARIO, "--target", target, "--aa", "--rate", "50", "--dry-run")

    shown, data = ctl(*words), ctl(*words, "-o", "json").data

    assert shown.status == 0, shown.err
    assert "nothing was started, and nothing was sent" in shown.out
    assert "open loop, 50 arrivals per second (poisson)" in shown.out
    assert "uncached, the baseline" in shown.out
    assert "uncached-again" in shown.out
    assert data["target"] == target
    assert data["seconds"] == 33.0
    assert not (home.parent / "state").exists()


def test_a_dry_run_names_what_would_be_started(ctl: Run) -> None:
    """And where it would cache; the server need not run for that."""
    done = ctl("--url", "redis://127.0.0.1:1/0", "bench", "--scenario", "llm-chat", "--dry-run")

    assert done.status == 0, done.err
    assert "a gateway for cached, uncached" in done.out
    assert "redis://127.0.0.1:1/0" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--users", "3", "--rate", "5"), "no users"),
        (("--arrivals", "constant", "--users", "3"), "open loop"),
        (("--max-in-flight", "3", "--users", "3"), "open loop"),
        (("--requests", "500", "--duration", "5s"), "how long"),
        (("--expect-workers", "2"), "workers elsewhere"),
        (("--master", "--expect-workers", "0"), "expect-workers is 0"),
        (("--master", "--master-bind-port", "70000"), "bind-port is 70000"),
        (("--price-in", "3"), "half of the cost"),
        (("--currency", "EUR"), "of prices"),
        (("--price-in", "-1", "--price-out", "1"), "price of input"),
        (("--locustfile", "l.py", "--scenario", "api"), "locustfile"),
        (("--timeout", "soon"), "--timeout"),
        (("--duration", ""), "--duration"),
        (("--warmup", "soon"), "--warmup"),
        (("--workers", "-1"), "workers is -1"),
        (("--gate", "money_saved>=1"), "no price"),
        (("--gate", "lateness_p99_ms<=1"), "closed loop has none"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_first(
    ctl: Run, words: tuple[str, ...], said: str
) -> None:
    """With what to do instead, before anything is asked of a server."""
    done = ctl("bench", "--target", "http://127.0.0.1:1", *words, "-o", "json")

    assert done.status == 2
    assert said in done.error["message"]
    assert done.error["hint"]


def test_two_results_cannot_both_go_to_standard_output(ctl: Run) -> None:
    """Markdown in the middle of JSON helps nobody."""
    done = ctl("bench", "--target", "http://127.0.0.1:1", "--markdown", "-", "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_a_file_that_cannot_be_written_is_said_before_the_run(ctl: Run, option: str) -> None:
    """Half an hour later would be late."""
    done = ctl("bench", "--target", "http://127.0.0.1:1", option, "none/here.txt", "-o", "json")

    assert (done.status, done.error["code"]) == (5, "folder")


def test_a_target_that_is_down_leaves_a_junit_file(ctl: Run, home: Path) -> None:
    """A CI job that looks for the file finds why nothing was judged."""
    target = f"http://127.0.0.1:{free_port()}"

    done = ctl(
        *("bench", *SCENARIO, "--target", target, "--junit", "j.xml"),
        *("--gate", "p99_speedup>=2", "-o", "json"),
    )

    assert (done.status, done.error["code"]) == (3, "unreachable")
    assert cases((home / "j.xml").read_text()) == {
        "the run": "error",
        "gate p99_speedup>=2": "error",
    }


def test_the_junit_file_may_lie_in_the_folder_that_the_run_makes(ctl: Run, home: Path) -> None:
    """Though a run whose target is down never makes it."""
    target = f"http://127.0.0.1:{free_port()}"

    done = ctl("bench", *SCENARIO, "--target", target, "--out", "out", "--junit", "out/j.xml")

    assert done.status == 3
    assert cases((home / "out" / "j.xml").read_text()) == {"the run": "error"}


def test_who_has_nothing_deployed_is_told_to_deploy(ctl: Run, profile: Path) -> None:
    """The first command of a newcomer; with a URL it is the URL that is wrong."""
    bare = ctl("bench", "-p", str(profile), "-o", "json")
    named = ctl("bench", "--url", f"redis://127.0.0.1:{free_port()}", "-o", "json")

    assert (bare.status, named.status) == (3, 3)
    assert bare.error["message"].startswith("there is no cache to measure: ")
    assert bare.error["hint"] == f"Deploy it first: valkeyctl deploy -p {profile}"
    assert "Deploy it first" not in named.error["hint"]


class _Uncounted(http.server.BaseHTTPRequestHandler):
    """Answers everything, and serves metrics without our counter."""

    def do_GET(self) -> None:
        body = b"requests_total 5\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def uncounted() -> Iterator[str]:
    """An application that does not count its calls to the origin."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Uncounted) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_gate_on_what_nobody_counts_is_refused_before_the_run(ctl: Run, uncounted: str) -> None:
    """Its /metrics is asked first; other gates do not need it."""
    done = ctl("bench", *SCENARIO, "--target", uncounted, "--gate", "origin_calls<=5", "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")
    assert f"{uncounted}/metrics does not count them" in done.error["message"]
    assert "valkeyctl_origin_calls_total" in done.error["hint"]
