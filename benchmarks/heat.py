"""What counting one read costs: ``python -m benchmarks.heat``, nanoseconds, best of five."""

from __future__ import annotations

import random
import time

from valkeyctl.caching.heat import Heat


def main() -> None:
    """Print the cost for one hot id, for many with a long tail, and for ids that come twice."""
    rng = random.Random(1)
    names = [f"model-{n}" for n in range(20_000)]
    mixed = rng.choices(names, [1 / (n + 1) for n in range(20_000)], k=50_000)
    for name, ids in (("one", ["a"] * 50_000), ("mixed", mixed), ("new", names + names[::-1])):
        best = float("inf")
        for _ in range(5):
            heat = Heat(1000)
            began = time.process_time()
            for id in ids:  # noqa: A001
                heat.add(id)
            best = min(best, (time.process_time() - began) / len(ids))
        print(f"{name:6} {best * 1e9:6.0f} ns a read")


if __name__ == "__main__":
    main()
