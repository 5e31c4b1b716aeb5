"""A throwaway server that loads an RDB from a pipe."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from tests.conftest import command, start_server
from valkeyctl.errors import StartError
from valkeyctl.runtime.binary import ServerBinary, find_binary
from valkeyctl.runtime.loadtrial import Sink, load_in_process


@pytest.fixture(scope="module")
def rdb(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An RDB of three keys in two databases; one of them expires at once."""
    folder = tmp_path_factory.mktemp("rdb")
    process, endpoint = start_server(folder, "--rdbcompression", "no", "--databases", "40")
    command(endpoint, "MSET", "a", "1", "b", "2")
    command(endpoint, "EVAL", "\"redis.call('select',39) redis.call('set','c','3')\"", "0")
    command(endpoint, "PEXPIRE", "a", "300")
    command(endpoint, "SAVE")
    process.kill()
    process.wait()
    threading.Event().wait(0.4)  # nothing tells that a time of the wall has passed
    return (folder / "dump.rdb").read_bytes()


def test_keys_are_counted_those_included_that_have_expired(rdb: bytes) -> None:
    """By database, however many there are."""
    found = load_in_process(find_binary(), lambda sink: sink.write(rdb))

    assert found.keys == {"0": 2, "39": 1}
    assert (found.total, found.data_bytes > 0) == (3, True)
    assert found.server.startswith("valkey 9.")


def test_a_target_with_fewer_databases_says_so(rdb: bytes) -> None:
    """Before it is stopped for it."""
    with pytest.raises(StartError, match="16 databases"):
        load_in_process(find_binary(), lambda sink: sink.write(rdb), databases=16)


@pytest.mark.parametrize("part", [0, 5, 9, -1])
def test_what_is_no_whole_rdb_is_refused(rdb: bytes, part: int) -> None:
    """With the server's own reason, not with what it says last."""
    with pytest.raises(StartError, match=r"cannot load it: (Short read|Internal error|Wrong)"):
        load_in_process(find_binary(), lambda sink: sink.write(rdb[:part]))


def test_one_flipped_bit_is_refused(rdb: bytes) -> None:
    """By the checksum at the end."""
    changed = rdb[:60] + bytes([rdb[60] ^ 1]) + rdb[61:]

    with pytest.raises(StartError, match="cannot load it"):
        load_in_process(find_binary(), lambda sink: sink.write(changed))


def test_what_the_source_fails_with_is_the_failure(tmp_path: Path) -> None:
    """The server is ended, and nothing of it stays."""

    def fail(_sink: Sink) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_in_process(find_binary(), fail)


OLD = shutil.which("valkey-server", path="/usr/bin:/usr/local/bin")


@pytest.mark.skipif(OLD is None, reason="there is no valkey-server beside the embedded one")
def test_an_older_server_refuses_what_it_cannot_read(rdb: bytes) -> None:
    """One that opens its file twice does not hang on the pipe, either."""
    old = ServerBinary(Path(OLD or ""), "PATH", "8.0")
    empty = b"REDIS0011\xff" + bytes(8)

    assert load_in_process(old, lambda sink: sink.write(empty)).total == 0
    with pytest.raises(StartError, match=r"Wrong signature|Can't handle RDB format version 80"):
        load_in_process(old, lambda sink: sink.write(rdb))
