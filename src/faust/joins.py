"""Join strategies: extension points that say how events of combined streams meet.

Nothing is joined by the library itself, as in the original: each strategy is a name for what the program wants, and its
`Join.process` is called with every value of the stream it was given to. Write your own by overriding it::

    class Latest(faust.joins.InnerJoin):
        async def process(self, value):
            return enrich(value)

    stream = stream.clone(join_strategy=Latest(stream=stream, fields=[Order.account]))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["InnerJoin", "Join", "LeftJoin", "OuterJoin", "RightJoin"]


class Join:
    """Base class of join strategies.

    Two strategies are equal when their type, fields and stream are.

    Arguments:
        stream: The stream that is joined.
        fields: Fields of models, by which is joined; one per model.

    Attributes:
        fields: Model -> its field.
    """

    def __init__(self, *, stream: Any, fields: Iterable[Any] | Mapping[Any, Any]) -> None:
        self.stream: Any = stream
        self.fields: dict[Any, Any] = (
            dict(fields)
            if isinstance(fields, Mapping)
            else {field.model: field for field in fields}
        )

    async def process(self, event: Any) -> Any:
        """Make of a value what the stream hands out; None or `Skip` where nothing comes of it.

        Raises:
            NotImplementedError: always, until it is overridden.
        """
        raise NotImplementedError(
            f"{type(self).__name__} is an extension point: override process() in a class of your own"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Join):
            return NotImplemented
        return (
            type(self) is type(other)
            and self.fields == other.fields
            and self.stream is other.stream
        )

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {list(self.fields.values())!r}>"


class RightJoin(Join):
    """Every event of the right side, with its match on the left if there is one."""


class LeftJoin(Join):
    """Every event of the left side, with its match on the right if there is one."""


class InnerJoin(Join):
    """Only events that have a match on both sides."""


class OuterJoin(Join):
    """Every event of either side."""
