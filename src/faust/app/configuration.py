"""The ground floor of an application: its id, its settings and its signals.

`faust.app.base.App` is built in storeys, each of which knows only those below: this one, then its parts
(``parts.py``), how it starts and stops (``life.py``), and on top what users declare (``base.py``).

Nothing is evaluated when the app is made: its settings are built when somebody first reads `conf`, and three signals
are sent around that (before, with the settings being built, after). ``FAUST_STRICT`` turns an early read into an error,
for programs that configure their app late.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any, ClassVar

from mode import Service
from yarl import URL

from faust.app.signals import AppSignal, SyncAppSignal
from faust.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured
from faust.settings.settings import Settings as _Settings
from faust.settings.table import ConfigSource, is_strict

__all__ = ["ConfiguredApp"]


class ConfiguredApp(Service):
    """An application that has settings.

    Arguments:
        id: Name of the application.
        config_source: Where settings are read from; as `config_from_object`.
        options: Settings given in the program.
    """

    abstract = True

    Settings: ClassVar[type[_Settings]] = _Settings

    on_before_configured: SyncAppSignal = SyncAppSignal()
    on_configured: SyncAppSignal = SyncAppSignal()
    on_after_configured: SyncAppSignal = SyncAppSignal()
    on_worker_init: SyncAppSignal = SyncAppSignal()
    on_partitions_revoked: AppSignal = AppSignal()
    on_partitions_assigned: AppSignal = AppSignal()
    on_rebalance_complete: AppSignal = AppSignal()
    on_before_shutdown: AppSignal = AppSignal()
    on_produce_message: SyncAppSignal = SyncAppSignal()

    def __init__(
        self,
        id: str,
        *,
        config_source: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
        beacon: Any = None,
        options: dict[str, Any],
    ) -> None:
        self._given_id = id
        self._options = options
        self._config = ConfigSource(config_source)
        self._conf: _Settings | None = None
        self._configuring = False
        self._refuses_early_reads = is_strict()
        self.configured: bool = False
        self.finalized: bool = False
        self._init_signals()
        super().__init__(loop=loop, beacon=beacon)

    def _init_signals(self) -> None:
        """Have signals of our own, whose sender we are."""
        for name, signal in vars(ConfiguredApp).items():
            if isinstance(signal, AppSignal | SyncAppSignal):
                setattr(self, name, signal.with_default_sender(self))

    # -- configuration

    @property
    def conf(self) -> _Settings:
        """The settings; made on first use.

        Raises:
            ImproperlyConfigured: A setting cannot be what was given; or ``FAUST_STRICT`` is set and the app is not
                finalized; or a handler of `on_configured` reads this instead of its argument ``conf``.
        """
        if self._refuses_early_reads:
            raise ImproperlyConfigured(
                "FAUST_STRICT is set: app.conf is read before app.finalize() was called"
            )
        if self._conf is None:
            self._configure()
            assert self._conf is not None
        return self._conf

    @conf.setter
    def conf(self, conf: _Settings) -> None:
        self._conf = conf

    def _configure(self) -> None:
        if self._configuring:
            raise ImproperlyConfigured(
                "app.conf is read while it is made: use the argument conf of the handler of on_configured"
            )
        self._configuring = True
        try:
            self.on_before_configured.send()
            conf = self.Settings(self._given_id, config_source=self._config.load(), **self._options)
            self.on_configured.send(conf)
        finally:
            self._configuring = False
        self._conf = conf
        self.configured = True
        self.on_after_configured.send()

    def config_from_object(self, obj: Any, *, silent: bool = False, force: bool = False) -> None:
        """Read settings from a mapping, module or object, or the import path of one.

        It is read when settings are first used. An app that is configured already is configured again at once, with
        an `AlreadyConfiguredWarning`.

        Arguments:
            obj: Where to read.
            silent: A path that cannot be imported counts as empty.
            force: Read now.

        Raises:
            ImportError, AttributeError: When it is read: the path leads nowhere.
            ImproperlyConfigured: When it is read: a setting cannot be what it says.
        """
        if self.configured or self.finalized:
            warnings.warn(
                f"app {self._given_id!r} is already configured: it is configured again, and whoever has read a "
                "setting keeps the old value",
                AlreadyConfiguredWarning,
                stacklevel=2,
            )
        self._config = ConfigSource(obj, silent=silent)
        if force or self.configured:
            self._configure()

    def finalize(self) -> None:
        """End the configuration; from now on ``FAUST_STRICT`` lets settings be read.

        Raises:
            ImproperlyConfigured: The app has no id.
        """
        if self.finalized:
            return
        self._refuses_early_reads = False
        if not self.conf.name:
            raise ImproperlyConfigured("App requires an id!")
        self.finalized = True

    @property
    def id(self) -> str:
        """Name of the application, with its version if that is not 1: ``conf.id``."""
        return self.conf.id

    @property
    def broker(self) -> list[URL]:
        """Where the broker is: setting ``broker``."""
        return self.conf.broker

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"{type(self).__name__}: {self.conf.id}@{self.conf.shown('broker')}"

    @property
    def shortlabel(self) -> str:
        """Short name for people and logs."""
        return type(self).__name__
