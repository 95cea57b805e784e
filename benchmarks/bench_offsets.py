"""What one acknowledgement costs, in nanoseconds, delivery included.

Run: ``python benchmarks/bench_offsets.py [records]``. Each line is the best of five rounds; every
round checks that the safe offset is right at the end.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from time import perf_counter

from faust._core.offsets import AckTracker

SLICE = 200


def slices(total: int) -> Iterator[range]:
    """Offsets in slices, as a driver hands them over."""
    for start in range(0, total, SLICE):
        yield range(start, min(start + SLICE, total))


def shuffled(total: int, window: int) -> list[int]:
    """Offsets in the order in which *window* actors would finish them."""
    rng = random.Random(1)
    return sorted(range(total), key=lambda offset: offset + rng.random() * window)


def in_order(total: int) -> AckTracker:
    """Deliver one, finish one."""
    tracker = AckTracker()
    deliver, ack = tracker.deliver, tracker.ack
    for offset in range(total):
        deliver(offset)
        ack(offset)
    return tracker


def by_slice(total: int) -> AckTracker:
    """Deliver a slice, finish its records one by one."""
    tracker = AckTracker()
    ack = tracker.ack
    for offsets in slices(total):
        tracker.deliver_many(offsets)
        for offset in offsets:
            ack(offset)
    return tracker


def in_bulk(total: int) -> AckTracker:
    """Deliver a slice, finish it as a whole."""
    tracker = AckTracker()
    for offsets in slices(total):
        tracker.deliver_many(offsets)
        tracker.ack_many(offsets)
    return tracker


def any_order(total: int, window: int) -> Callable[[int], AckTracker]:
    """Deliver slices, finish them out of order within a window."""
    order = shuffled(total, window)

    def run(total: int) -> AckTracker:
        tracker = AckTracker()
        ack = tracker.ack
        ahead = slices(total)
        for offset in order:
            while offset >= tracker.high:
                tracker.deliver_many(next(ahead))
            ack(offset)
        return tracker

    return run


def head_stuck(total: int) -> AckTracker:
    """The very first record finishes last."""
    tracker = AckTracker()
    ack = tracker.ack
    for offsets in slices(total):
        tracker.deliver_many(offsets)
        for offset in offsets:
            if offset:
                ack(offset)
    ack(0)
    return tracker


def measure(run: Callable[[int], AckTracker], total: int) -> float:
    """Return the best nanoseconds per record of five rounds."""
    best = float("inf")
    for _ in range(5):
        started = perf_counter()
        tracker = run(total)
        best = min(best, perf_counter() - started)
        if tracker.safe != total or tracker.unfinished:
            raise SystemExit(f"wrong result: {tracker!r}, expected safe={total}")
    return best / total * 1e9


def main() -> None:
    """Print the table."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    cases: dict[str, Callable[[int], AckTracker]] = {
        "deliver one, ack one": in_order,
        "deliver a slice, ack one by one": by_slice,
        "deliver a slice, ack it in bulk": in_bulk,
        "any order within 8": any_order(total, 8),
        "any order within 4096": any_order(total, 4096),
        "first record finishes last": head_stuck,
    }
    print(f"{total:,} records, nanoseconds per record (deliver + ack), best of 5")
    for name, run in cases.items():
        print(f"  {name:<34} {measure(run, total):7.1f}")


if __name__ == "__main__":
    main()
