"""What goes wrong, and when: a plan is a value, made by chance from a seed, written in one line, read from it again.

One fault is ``PAUSE:KIND``, ``PAUSE:KIND:TARGET`` or ``PAUSE:KIND:TARGET:LENGTH``: so many seconds after the former fault has
begun, this happens to that target (a number, taken modulo how many there are), for so many seconds. So ``3:kill:1 5:freeze:0:8``
kills worker 1 after three seconds and, five seconds later, freezes worker 0 for eight.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Plan", "Step"]


@dataclass(frozen=True)
class Step:
    """One fault.

    Attributes:
        pause: Seconds from the beginning of the former one.
        kind: What; the `World` knows the kinds.
        target: Number of the worker or broker, modulo how many there are.
        length: Seconds that it lasts; 0 for what happens at once.
    """

    pause: float
    kind: str
    target: int = 0
    length: float = 0.0

    def __str__(self) -> str:
        return f"{self.pause:g}:{self.kind}:{self.target}:{self.length:g}"

    @classmethod
    def parse(cls, text: str) -> Step:
        """Read what ``str`` has written.

        Raises:
            ValueError: the text is no fault; the message shows it.
        """
        pause, kind, target, length, *rest = [*text.split(":"), *[""] * 4][
            : max(4, text.count(":") + 1)
        ]
        try:
            if rest or not kind:
                raise ValueError(text)
            return cls(float(pause), kind, int(target or 0), float(length or 0))
        except ValueError:
            raise ValueError(
                f"{text!r} is no fault: expected PAUSE:KIND[:TARGET[:LENGTH]], such as 3:kill:1 or 5:freeze:0:8"
            ) from None


@dataclass(frozen=True)
class Plan:
    """Faults in the order in which they are made."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.steps))

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read a plan from one line.

        Raises:
            ValueError: a fault in it cannot be read.
        """
        return cls(tuple(map(Step.parse, text.split())))

    @classmethod
    def by_chance(
        cls,
        seed: int,
        lengths: Mapping[str, tuple[float, float]],
        count: int,
        *,
        pause: float = 3.0,
        every_kind: bool = False,
    ) -> Plan:
        """Make a plan; the same arguments give the same plan.

        Arguments:
            seed: Of the chance.
            lengths: The kinds to choose from, each with the shortest and the longest time in seconds.
            count: How many faults.
            pause: Seconds from one beginning to the next.
            every_kind: Choose every kind once before one comes again.
        """
        chance = random.Random(seed)
        kinds: list[str] = []
        while len(kinds) < count:
            more: Sequence[str] = sorted(lengths)
            kinds += chance.sample(more, len(more)) if every_kind else [chance.choice(more)]
        return cls(
            tuple(
                Step(
                    pause,
                    kind,
                    chance.randrange(60),
                    round(chance.uniform(*lengths[kind]), 1),
                )
                for kind in kinds[:count]
            )
        )
