"""The settings of an application: all sections together, its identity and its directories.

Every setting is written once, as an attribute of the class of its section (`faust.settings.common`,
``broker``, ``processing``, ``web``, ``extensions``): type, default, environment variable and words. The
reference page ``docs/reference/settings.md`` is made from them by ``scripts/settings_reference.py``;
the signature of `faust.App` comes from them through `options_of`. The machine that gives the settings
their values is in `faust.settings.table`.

Times are in seconds unless the name ends in ``_ms``; sizes are in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec

from faust.exceptions import ImproperlyConfigured
from faust.settings import common, web
from faust.settings.broker import BrokerSettings, ConsumerSettings, ProducerSettings
from faust.settings.common import AgentSettings, CommonSettings, ProcessingGuarantee
from faust.settings.extensions import ExtensionSettings
from faust.settings.params import Id
from faust.settings.processing import (
    RPCSettings,
    SerializationSettings,
    StreamSettings,
    TableSettings,
    TopicSettings,
)
from faust.settings.web import WebServerSettings, WorkerSettings

__all__ = ["ProcessingGuarantee", "Settings", "options_of"]

P = ParamSpec("P")


def options_of(
    settings: Callable[P, Any],  # noqa: ARG001 - read by type checkers
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a method the arguments of *settings*, for type checkers.

    At run time the method stays what it is. A constructor with keywords of its own names a subclass
    that declares them as plain annotated attributes.

    Example:
        ::

            class AppOptions(Settings):
                monitor: Any = None

            class App:
                @options_of(AppOptions)
                def __init__(self, id: str, **options: Any) -> None: ...
    """

    def same(method: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        return method

    return same


class Settings(
    CommonSettings,
    AgentSettings,
    BrokerSettings,
    ConsumerSettings,
    ProducerSettings,
    SerializationSettings,
    RPCSettings,
    StreamSettings,
    TableSettings,
    TopicSettings,
    WebServerSettings,
    WorkerSettings,
    ExtensionSettings,
):
    """The configuration of an application.

    Every setting is an attribute; see the reference of settings. Reading the attribute of the class
    gives the descriptor.

    Arguments:
        id: Name of the application. With ``version`` it makes the consumer group and the prefix of
            all topics that the library creates.
        env: Environment to read instead of `os.environ`.
        config_source: A mapping, module or object with settings, or its import path.

    Raises:
        ImproperlyConfigured: an unknown setting, or a value that a setting cannot have.
    """

    DEFAULT_BROKER_URL: ClassVar[str] = common.DEFAULT_BROKER_URL
    NODE_HOSTNAME: ClassVar[str] = web.NODE_HOSTNAME

    OLD_NAMES: ClassVar[Mapping[str, str]] = {
        "client_id": "broker_client_id",
        "commit_interval": "broker_commit_interval",
        "create_reply_topic": "reply_create_topic",
        "num_standby_replicas": "table_standby_replicas",
        "default_partitions": "topic_partitions",
        "replication_factor": "topic_replication_factor",
        "broker_heartbeat": "broker_heartbeat_interval",
        "broker_commit_livelock_hard_timeout": "health_exit_timeout",
        "consumer_connections_max_idle": "consumer_connections_max_idle_ms",
        "consumer_heartbeat_interval": "broker_heartbeat_interval",
        "consumer_max_poll_interval": "broker_max_poll_interval",
        "consumer_max_poll_records": "broker_max_poll_records",
        "consumer_rebalance_timeout": "broker_rebalance_timeout",
        "consumer_request_timeout": "broker_request_timeout",
        "consumer_session_timeout": "broker_session_timeout",
    }
    """Names of long ago, and those of a document that has others, -> names of today."""

    OLD_UNITS: ClassVar[Mapping[str, int]] = {"consumer_connections_max_idle": 1000}

    NO_SETTINGS: ClassVar[Mapping[str, str]] = {
        "quiet": "give the command --quiet, or faust.Worker quiet=True",
        "no_color": "give the command --no-color, or set the environment variable NO_COLOR",
        **dict.fromkeys(
            ("broker_retry_backoff_type", "broker_retry_delay", "broker_retry_max_delay"),
            "how long is waited between attempts to reach the broker is not configurable",
        ),
    }

    id: Id = Id(kw_only=False)

    env: Mapping[str, str] | None = None

    config_source: Any = None

    # -- identity and directories

    @property
    def name(self) -> str:
        """Name of the application as it was given, without version."""
        return self._name

    def _identify(self, id: str) -> None:
        if not isinstance(id, str):
            kind = type(id).__name__
            raise type(self).id.invalid(id, "the call", TypeError(f"{kind} is not text"))
        version = self._look(self.SETTINGS["version"])
        template = self._look(self.SETTINGS["id_format"])
        self._name = id
        try:
            self._id = id if version == 1 else template.format(id=id, self=self)
        except (LookupError, AttributeError, ValueError) as exc:
            raise ImproperlyConfigured(
                f"setting 'id_format': {template!r} cannot be filled in: {exc!r}; "
                f"it may use {{id}} and {{self.version}}"
            ) from exc
        self._look(self.SETTINGS["datadir"])  # its text can be filled in, or say so now

    @property
    def appdir(self) -> Path:
        """Directory of this version of the application: ``<datadir>/v<version>``."""
        return self.data_directory_for_version(self._look(self.SETTINGS["version"]))

    def relative_to_appdir(self, path: str | Path) -> Path:
        """Return *path* below `appdir`, or as it is when it is absolute."""
        return self.appdir / path

    def data_directory_for_version(self, version: int) -> Path:
        """Return the directory of a version of the application."""
        directory: Path = self._look(self.SETTINGS["datadir"])
        return directory / f"v{version}"

    def find_old_versiondirs(self) -> Iterator[Path]:
        """Yield the directories of earlier versions that exist, the latest first."""
        for version in range(self._look(self.SETTINGS["version"]) - 1, -1, -1):
            directory = self.data_directory_for_version(version)
            if directory.is_dir():
                yield directory

    def create_directories(self) -> None:
        """Create data directory, directory of this version and table directory, where missing.

        Raises:
            ImproperlyConfigured: one of them cannot be created or written to; says which and why.
        """
        for name, path in (
            ("datadir", self._look(self.SETTINGS["datadir"])),
            ("datadir", self.appdir),
            ("tabledir", self._look(self.SETTINGS["tabledir"])),
        ):
            try:
                path.mkdir(exist_ok=True)
            except OSError as exc:
                hint = "; its parent must exist" if isinstance(exc, FileNotFoundError) else ""
                raise self._unusable(name, path, f"{exc.strerror}{hint}") from exc
            if not os.access(path, os.W_OK | os.X_OK):
                raise self._unusable(name, path, "this user may not write there")

    def _unusable(self, name: str, path: Path, reason: str) -> ImproperlyConfigured:
        return ImproperlyConfigured(
            f"setting {name!r} (from {self.source_of(name)}): the directory {path.absolute()} "
            f"cannot be used: {reason}"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._id}>"
