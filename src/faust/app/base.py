"""App: decorators and factories.

The application declares things and hands them their surroundings; how it boots, rebalances, discovers and talks to
the broker are rooms of their own beside this one. Nothing here touches an event loop before the app is started.

Four stairs lead to the roof, by name and only here: `App.Worker` (setting ``Worker``), `App.LiveCheck`, `App.main` and
`App.command` (the command line).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar

from mode.utils.imports import symbol_by_name

from faust.app.discovery import IGNORED, discover, modules_of
from faust.app.serving import ServingApp
from faust.channels import Channel
from faust.events import Event
from faust.fixups.base import Fixup
from faust.fixups.finding import fixups
from faust.messages import TP, HeadersArg, Message, RecordMetadata
from faust.settings.settings import Settings as _Settings
from faust.settings.settings import options_of

__all__ = ["App"]

P = ParamSpec("P")
T = TypeVar("T")
TaskFun = TypeVar("TaskFun", bound=Callable[..., Awaitable[Any]])

logger: logging.Logger = logging.getLogger(__name__)


class _AppOptions(_Settings):
    """What `App` takes, for type checkers: the settings, and what a service takes."""

    monitor: Any = None
    loop: asyncio.AbstractEventLoop | None = None
    beacon: Any = None


class App(ServingApp):
    """A Faust application.

    Arguments:
        id: Name of the application; with setting ``version`` it names the consumer group and all generated topics.
        monitor: Counts what happens; None: one of the class of setting ``Monitor``.
        config_source: Where settings are read from; as `config_from_object`.
        loop: Event loop; normally left out.
        beacon: Place in the tree of services; normally left out.
        options: Settings.
    """

    SCAN_CATEGORIES: ClassVar[list[str]] = [
        "faust.agent",
        "faust.command",
        "faust.page",
        "faust.service",
        "faust.task",
    ]
    livecheck: Any = None
    """The application that tests this one, once `LiveCheck` has made it; None: nobody does."""

    _fixups_initialized = _discovered = _worker_initialized = False

    @options_of(_AppOptions)
    def __init__(
        self,
        id: str,
        *,
        monitor: Any = None,
        config_source: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
        beacon: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(id, config_source=config_source, loop=loop, beacon=beacon, options=options)
        self.fixups: list[Fixup] = list(fixups(self))
        if monitor is not None:
            self.monitor = monitor

    def __repr__(self) -> str:
        if not self.configured:
            return f"<{type(self).__name__}: <non-finalized> {id(self):#x}>"
        return (
            f"<{type(self).__name__}({self.conf.id}): {self.conf.shown('broker')} {self.state}"
            f" agents({len(self.agents)}) {id(self):#x}>"
        )

    # -- declaring

    def command(
        self, *options: Any, base: Any = None, **attributes: Any
    ) -> Callable[[Callable[..., Any]], Any]:
        """Make a sub-command of the command line from the decorated coroutine function."""
        return symbol_by_name("faust.cli.base:app_command")(self, *options, base=base, **attributes)

    def create_event(
        self, key: Any, value: Any, headers: HeadersArg, message: Message
    ) -> Event[Any, Any]:
        """Make an event; its class is setting ``Event``."""
        return self.conf.Event(self, key, value, headers, message)  # type: ignore[no-any-return]

    # -- operations

    async def send(
        self,
        channel: Channel[Any] | str,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Callable[[Any], Any] | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Send a value to a channel, a topic, or the topic of that name; see `faust.Topic.send`."""
        target = self.topic(channel) if isinstance(channel, str) else channel
        return await target.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            schema=schema,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
        )

    async def commit(self, topics: Collection[str | TP] | None = None) -> bool:
        """Commit what has been processed, of all topics or some; return whether something was committed."""
        return False if self._consumer is None else await self._consumer.commit(topics)

    # -- command line

    def prepare(self, origin: str | None = None) -> None:
        """Get ready for a command or a worker: settings, fixups, modules, signals; once, however often it is called.

        Arguments:
            origin: Import path of the app, taken where setting ``origin`` is not given.
        """
        self.finalize()
        if origin is not None and self.conf.origin is None:
            self.conf.assign("origin", origin, "the command line")
        self.worker_init()
        self.maybe_discover()
        self.worker_init_post_autodiscover()

    def maybe_discover(self) -> None:
        """Import the modules that setting ``autodiscover`` names, if that has not been done yet."""
        if self.conf.autodiscover and not self._discovered:
            self.discover()

    def worker_init(self) -> None:
        """Let fixups prepare for a command or a worker; once, however often it is called."""
        if not self._fixups_initialized:
            self._fixups_initialized = True
            for fixup in self.fixups:
                fixup.on_worker_init()

    def worker_init_post_autodiscover(self) -> None:
        """Tell everybody that modules have been found; once, however often it is called."""
        if not self._worker_initialized:
            self._worker_initialized = True
            if self._web is not None and not self.has_web_server:
                self._web.init_server()  # without pages the server does it when it starts
            self.on_worker_init.send()

    def discover(
        self,
        *extra_modules: str,
        categories: Iterable[str] | None = None,
        ignore: Iterable[Any] = IGNORED,
    ) -> None:
        """Import the modules that setting ``autodiscover`` names, those of fixups (``True``), and *extra_modules*.

        Packages are imported with everything below them; what cannot be imported there is logged and skipped.

        Arguments:
            extra_modules: Further modules or packages.
            categories: Kinds of decorated things; None: `SCAN_CATEGORIES`.
            ignore: Names below packages that are left out: text, or functions of a name.

        Raises:
            ImproperlyConfigured: ``autodiscover`` is True, and the app has no ``origin``.
            UnknownModule: One of the modules does not exist (a `ModuleNotFoundError`).
        """
        setting, origin = self.conf.autodiscover, self.conf.origin
        modules = modules_of(setting, origin)
        if setting is True:
            modules += [name for fixup in self.fixups for name in fixup.autodiscover_modules()]
        self._discovered = bool(setting)
        wanted = dict.fromkeys([*modules, *extra_modules])
        discover(wanted, categories=categories or self.SCAN_CATEGORIES, ignore=ignore)

    def main(self) -> NoReturn:
        """Run the command line for this app; ends the process."""
        symbol_by_name("faust.cli.main:main")(app=self)
        raise SystemExit(0)

    def LiveCheck(self, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make an application that tests this one while it works; see `faust.livecheck.LiveCheck.for_app`."""
        return symbol_by_name("faust.livecheck.app:LiveCheck").for_app(self, **options)

    def Worker(self, *services: Any, **options: Any) -> Any:  # noqa: N802 - the documented name
        """Make a worker for this app; its class is setting ``Worker``."""
        return self.conf.Worker(self, *services, **options)
