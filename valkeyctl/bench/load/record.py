"""How one sample is written to disk: 63 bytes, little-endian, one after another.

============== ====== =====================================================
field          type   meaning
============== ====== =====================================================
``arm``        uint8  index of the arm in the plan
``outcome``    uint8  index in `OUTCOMES`: what the answer's X-Cache said
``queued``     uint8  1: the client's own pool was full when it was due
``request``    uint8  index in the scenario's requests
``worker``     uint8  which process sent it
``round``      int16  -1 is warm-up
``status``     uint16 HTTP status; 0 without an answer
``error``      uint16 0 is none, else the line of errors.jsonl, from 1
``index``      uint32 place in the request stream
``size``       uint32 bytes of the answer's body
``events``     uint32 pieces of a streamed answer that carry content; 0 without a stream
``input``      uint32 tokens of the prompt, as the answer says; 0 where it does not
``output``     uint32 tokens of the answer, likewise
``intended``   float64 seconds, monotonic: when the request was due
``start``      float64 when it was sent
``first``      float64 when its first token came; NaN where answers do not stream
``end``        float64 when its answer was complete
============== ====== =====================================================

Fixed size, so that a run which is killed leaves whole records and at most one torn one,
and so that a million samples are 63 MB and load in one read.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from pathlib import Path

from valkeyctl.bench.load.blocks import Stage

OUTCOMES = ("none", "hit", "miss", "collapsed", "bypass", "other", "stale")
SAMPLES_FILE = "samples.bin"
ERRORS_FILE = "errors.jsonl"
STAGES_FILE = "stages.jsonl"
FIELDS = (
    ("arm", "<u1"),
    ("outcome", "<u1"),
    ("queued", "<u1"),
    ("request", "<u1"),
    ("worker", "<u1"),
    ("round", "<i2"),
    ("status", "<u2"),
    ("error", "<u2"),
    ("index", "<u4"),
    ("size", "<u4"),
    ("events", "<u4"),
    ("input", "<u4"),
    ("output", "<u4"),
    ("intended", "<f8"),
    ("start", "<f8"),
    ("first", "<f8"),
    ("end", "<f8"),
)
RECORD = struct.Struct("<BBBBBhHHIIIIIdddd")
_BUFFER_BYTES = 1 << 16
_MOST_ERRORS = 1000
_CODES = {name: code for code, name in enumerate(OUTCOMES)}


def outcome_code(header: str | None) -> int:
    """Return the index in `OUTCOMES` of an ``X-Cache`` header's value.

    Of several caches in a row, the last in the list is the one that answered us; and what
    follows the word, as in ``Hit from cloudfront``, says which it was.
    """
    if header is None:
        return 0
    words = header.rpartition(",")[2].split()
    return _CODES.get(words[0].lower(), _CODES["other"]) if words else _CODES["other"]


class Recorder:
    """Writes samples as they come in; what is buffered reaches the disk with `flush`."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self.failed = 0
        self._samples = (folder / SAMPLES_FILE).open("wb")
        self._errors = (folder / ERRORS_FILE).open("w", encoding="utf-8")
        self._known: dict[str, int] = {}
        self._buffer = bytearray()

    def write(
        self,
        stage: Stage,
        index: int,
        *,
        intended: float,
        start: float,
        end: float,
        status: int,
        outcome: int,
        size: int,
        error: str | None,
        queued: bool,
        request: int = 0,
        worker: int = 0,
        first: float = math.nan,
        events: int = 0,
        tokens: tuple[int, int] = (0, 0),
    ) -> None:
        """Keep one sample."""
        self.count += 1
        code = 0
        if error is not None:
            self.failed += 1
            code = self._error_code(error)
        self._buffer += RECORD.pack(
            stage.arm,
            outcome,
            queued,
            request,
            worker,
            stage.round,
            status,
            code,
            index,
            size,
            events,
            *tokens,
            intended,
            start,
            first,
            end,
        )
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    def keep(self, records: bytes) -> None:
        """Write whole records as they are; whoever made them has counted them."""
        self._buffer += records
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    @property
    def texts(self) -> list[str]:
        """The texts that error codes stand for, from 1."""
        return list(self._known)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._samples.write(self._buffer)
        self._buffer.clear()
        self._samples.flush()

    def close(self) -> None:
        """Flush and close both files; closing again changes nothing.

        What cannot be written any more is left out: `flush` has raised for it before.
        """
        if not self._samples.closed:
            with contextlib.suppress(OSError):
                self.flush()
            for file in (self._samples, self._errors):
                # Closing writes what the file itself holds back, and raises as well.
                with contextlib.suppress(OSError):
                    file.close()

    def _error_code(self, text: str) -> int:
        # Texts may hold numbers that differ every time; the list must stay small.
        if len(self._known) >= _MOST_ERRORS and text not in self._known:
            text = "other errors"
        code = self._known.get(text)
        if code is None:
            code = self._known[text] = len(self._known) + 1
            self._errors.write(json.dumps(text) + "\n")
            self._errors.flush()
        return code
