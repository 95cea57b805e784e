"""The signals of an application: those of `mode`, with types that handlers can be written to.

A handler is called with the sender first (the app), then what the signal says, then ``signal=`` by keyword; it must
accept ``**kwargs``. Connected to a signal of an app it hears that app; connected to the signal of the class
(``faust.App.on_configured``), every app.

Here and not in `mode`: any function may be connected under ``mypy --strict``; what one app was connected with belongs to
that app, and dies with it (in `mode` it is found by the hash of the sender, and may be met again by another app that
happens to live at the same address).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar, overload

from mode import BaseSignal, Signal, SyncSignal

__all__ = ["AppSignal", "SyncAppSignal"]

F = TypeVar("F", bound=Callable[..., Any])


class _OfApp(BaseSignal[Any]):
    """What both kinds have in common."""

    _everybodys: _OfApp | None = None
    """The signal of the class, for that of one app."""

    @overload  # type: ignore[override]  # mode types handlers so narrowly that none fits
    def connect(self, fun: F, *, weak: bool = False, sender: Any = None) -> F: ...
    @overload
    def connect(
        self, fun: None = None, *, weak: bool = False, sender: Any = None
    ) -> Callable[[F], F]: ...
    def connect(self, fun: Any = None, *, weak: bool = False, sender: Any = None) -> Any:
        """Call *fun* whenever this signal is sent; a decorator, with parentheses or without.

        Arguments:
            fun: ``def handler(app, ..., **kwargs)``; a coroutine function where the signal awaits.
            weak: Hold it weakly only.
            sender: Only when this one sends; signals of an app know theirs.
        """
        return super().connect(fun, weak=weak, sender=sender)

    def disconnect(
        self, fun: Callable[..., Any], *, weak: bool = False, sender: Any = None
    ) -> None:
        """Call *fun* no more; arguments as in `connect`. A stranger is no error."""
        super().disconnect(fun, weak=weak, sender=sender)

    def with_default_sender(self, sender: Any = None) -> Self:
        """Return the signal of one sender: with handlers of its own, besides those of all senders."""
        made: Self = self.clone(  # type: ignore[assignment]
            default_sender=self.default_sender if sender is None else sender,
            receivers=self._receivers,
            filter_receivers=defaultdict(set),
        )
        made._everybodys = self
        return made

    def iter_receivers(self, sender: object) -> Iterable[Any]:
        """Iterate over the handlers that hear *sender*, each once."""
        mine = self._filter_receivers.get(self._create_id(sender))
        found = dict.fromkeys(self._update_receivers(self._receivers))
        if mine:
            found.update(dict.fromkeys(self._update_receivers(mine)))
        if self._everybodys is not None:
            found.update(dict.fromkeys(self._everybodys.iter_receivers(sender)))
        return list(found)

    @property
    def heard(self) -> bool:
        """Whether anybody may listen; where nobody does, nothing needs to be sent."""
        everybodys = self._everybodys
        return bool(
            self._receivers
            or self._filter_receivers
            or (everybodys is not None and everybodys._filter_receivers)
        )


class AppSignal(_OfApp, Signal[Any]):
    """A signal whose handlers are awaited one after another; plain functions are called."""


class SyncAppSignal(_OfApp, SyncSignal[Any]):
    """A signal whose handlers are plain functions: what a coroutine function returns is never awaited."""
