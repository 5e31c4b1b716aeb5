"""Says what is in a locustfile, as a child process: ``python -m ... FILE PIPE``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from valkeyctl.bench.load.locustfile import load, options_of
from valkeyctl.errors import UsageError


def main(file: str, pipe: str) -> None:
    """Write what *file* holds to *pipe*, as JSON."""
    # What the file prints is not ours to read.
    with os.fdopen(int(pipe), "w", encoding="utf-8") as answer:
        try:
            own = load(Path(file), Path.cwd())
            options_of(own)
        except UsageError as error:
            json.dump({"error": str(error), "hint": error.hint}, answer)
            return
        names = [one.__name__ for one in own.classes]
        json.dump({"classes": names, "plain": own.plain, "shapes": own.shapes}, answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
