"""Samples that other processes have taken, brought together in one file."""

from __future__ import annotations

from collections.abc import Sequence

from valkeyctl.bench.load.blocks import Stage
from valkeyctl.bench.load.clocks import Offset
from valkeyctl.bench.load.record import FIELDS, RECORD, Recorder
from valkeyctl.errors import ToolError

_TIMES = ("intended", "start", "first", "end")


class Ledger(Recorder):
    """A recorder that takes whole records, written by the recorder of another process."""

    def merge(
        self,
        records: bytes,
        stage: Stage,
        *,
        worker: int,
        clock: Offset,
        errors: Sequence[str],
        kinds: Sequence[int] | None,
    ) -> int:
        """Keep *records* with our codes and on our clock; return how many they are.

        Args:
            records: One after another.
            stage: What they must be of.
            worker: Who must have taken them.
            clock: Of the worker.
            errors: Texts of its error codes, from 1.
            kinds: Our numbers of its kinds of requests; None where both are the plan's.

        Raises:
            ToolError: They are torn, or of something else.
        """
        import numpy as np  # only after the child has begun; its import takes a while

        if len(records) % RECORD.size:
            raise ToolError(f"worker {worker + 1} sent a torn record", hint="Run it again")
        rows = np.frombuffer(records, np.dtype(list(FIELDS))).copy()
        of_stage = (rows["arm"] == stage.arm) & (rows["round"] == stage.round)
        if not (of_stage & (rows["worker"] == worker)).all():
            raise ToolError(
                f"worker {worker + 1} sent samples of another stage", hint="Run it again"
            )
        codes = np.array([0, *(self._error_code(text) for text in errors)], dtype=np.uint16)
        rows["error"] = codes[rows["error"]]
        if kinds is not None:
            rows["request"] = np.array(kinds, dtype=np.uint8)[rows["request"]]
        for name in _TIMES:
            rows[name] += clock.seconds
        self.count += len(rows)
        self.failed += int(np.count_nonzero(rows["error"]))
        self.keep(rows.tobytes())
        return len(rows)
