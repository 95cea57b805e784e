"""A table of sets seen through a window: what is done to a set is done in every window of the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from faust.tables.windowed import WindowSet, WindowWrapper

__all__ = ["SetWindowSet", "SetWindowWrapper"]


class SetWindowSet(WindowSet):
    """One key of a windowed table of sets.

    Reading methods (`WindowSet.value`, `current`, `now`, `delta`) give the set of one window; as a set it is that of
    `WindowSet.value`. Changes go to every window of the time that is not closed.
    """

    __slots__ = ()

    def _each(self) -> list[Any]:
        wrapper = self.wrapper
        _, ranges = wrapper.open_ranges(self.key, self.event)
        return [wrapper.table[self.key, window_range] for window_range in ranges]

    def add(self, value: Any) -> None:
        """Add a member."""
        for each in self._each():
            each.add(value)

    def discard(self, value: Any) -> None:
        """Remove a member where it is one."""
        for each in self._each():
            each.discard(value)

    def remove(self, value: Any) -> None:
        """Remove a member where it is one.

        Raises:
            KeyError: It is in none of the windows.
        """
        there = [each for each in self._each() if value in each]
        if not there:
            raise KeyError(value)
        for each in there:
            each.remove(value)

    def clear(self) -> None:
        """Remove all members."""
        for each in self._each():
            each.clear()

    def update(self, *others: Iterable[Any]) -> None:
        """Add the members of *others*."""
        given = [set(other) for other in others]
        for each in self._each():
            each.update(*given)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members of *others*."""
        given = [set(other) for other in others]
        for each in self._each():
            each.difference_update(*given)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only members that are in all *others*."""
        given = [set(other) for other in others]
        for each in self._each():
            each.intersection_update(*given)

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        """Remove those of *other* that are members, and add those that are not."""
        given = set(other)
        for each in self._each():
            each.symmetric_difference_update(given)

    def apply(self, op: Any, value: Any, event: Any = None) -> NoReturn:  # noqa: ARG002
        """Refuse: sets have no arithmetic.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"cannot apply {op!r} to sets; use add, update, discard ...")

    def __ior__(self, other: Iterable[Any]) -> SetWindowSet:
        self.update(other)
        return self

    def __isub__(self, other: Iterable[Any]) -> SetWindowSet:
        self.difference_update(other)
        return self

    def __iand__(self, other: Iterable[Any]) -> SetWindowSet:
        self.intersection_update(other)
        return self

    def __ixor__(self, other: Iterable[Any]) -> SetWindowSet:
        self.symmetric_difference_update(other)
        return self

    def __contains__(self, value: object) -> bool:
        return value in self.value()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value())

    def __len__(self) -> int:
        return len(self.value())


class SetWindowWrapper(WindowWrapper):
    """A table of sets seen through a window."""

    ValueType: type[WindowSet] = SetWindowSet

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, WindowSet):
            self.table[key] = value

    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        self[key].clear()
