"""The ground floor of an application: its id, its settings and its signals.

`faust.app.base.App` is built in storeys, each of which knows only those below: this one, then its parts
(``parts.py``), how it starts and stops (``life.py``), and on top what users declare (``base.py``).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from mode import Service, Signal, SyncSignal
from mode.utils.imports import symbol_by_name

from faust.exceptions import ImproperlyConfigured
from faust.settings.settings import Settings as _Settings

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

    on_before_configured: SyncSignal[Any] = SyncSignal()
    on_configured: SyncSignal[Any] = SyncSignal()
    on_after_configured: SyncSignal[Any] = SyncSignal()
    on_worker_init: SyncSignal[Any] = SyncSignal()
    on_partitions_revoked: Signal[Any] = Signal()
    on_partitions_assigned: Signal[Any] = Signal()
    on_rebalance_complete: Signal[Any] = Signal()
    on_before_shutdown: Signal[Any] = Signal()

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
        self._config_source = config_source
        self._conf: _Settings | None = None
        self.configured: bool = False
        self.finalized: bool = False
        self._init_signals()
        super().__init__(loop=loop, beacon=beacon)

    def _init_signals(self) -> None:
        for name in (
            "on_before_configured",
            "on_configured",
            "on_after_configured",
            "on_worker_init",
            "on_partitions_revoked",
            "on_partitions_assigned",
            "on_rebalance_complete",
            "on_before_shutdown",
        ):
            setattr(self, name, getattr(self, name).with_default_sender(self))

    # -- configuration

    @property
    def conf(self) -> _Settings:
        """The settings; read on first use."""
        if self._conf is None:
            self._configure()
        assert self._conf is not None
        return self._conf

    @conf.setter
    def conf(self, conf: _Settings) -> None:
        self._conf = conf

    def _configure(self) -> None:
        self.on_before_configured.send()
        conf = self.Settings(self._given_id, config_source=self._config_source, **self._options)
        self.on_configured.send(conf)
        self._conf = conf
        self.configured = True
        self.on_after_configured.send()

    def config_from_object(self, obj: Any, *, silent: bool = False, force: bool = False) -> None:
        """Read settings from a mapping, module or object, or the import path of one.

        Arguments:
            obj: Where to read.
            silent: A path that cannot be imported counts as empty.
            force: Read now instead of when settings are first used.
        """
        if isinstance(obj, str) and silent:
            try:
                obj = symbol_by_name(obj)
            except (ImportError, AttributeError):
                obj = {}
        self._config_source = obj
        if force or self.configured:
            self._configure()

    def finalize(self) -> None:
        """End the configuration.

        Raises:
            ImproperlyConfigured: The app has no id.
        """
        if not self.conf.id:
            raise ImproperlyConfigured("App requires an id!")
        self.finalized = True

    @property
    def label(self) -> str:
        """Name for people and logs."""
        return f"{type(self).__name__}: {self.conf.id}@{self.conf.broker}"

    @property
    def shortlabel(self) -> str:
        """Short name for people and logs."""
        return type(self).__name__
