"""Settings of the application as a whole, and of its agents."""

from __future__ import annotations

import enum
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC
from pathlib import Path as FilePath
from typing import Any

from faust.settings.params import (
    URL,
    Bool,
    BrokerList,
    Credentials,
    Dict,
    Enum,
    Int,
    LogHandlers,
    Param,
    Path,
    Seconds,
    SectionType,
    SSLContext,
    Str,
    Timezone,
    _Symbol,
)
from faust.settings.table import SettingsTable

__all__ = ["DEFAULT_BROKER_URL", "AgentSettings", "CommonSettings", "ProcessingGuarantee"]

DEFAULT_BROKER_URL = "kafka://localhost:9092"


class ProcessingGuarantee(enum.Enum):
    """How often an event may have an effect when workers die."""

    AT_LEAST_ONCE = "at_least_once"
    EXACTLY_ONCE = "exactly_once"


class _DataDir(Path):
    expected = "a path, which may use {conf.name} and other settings"

    def read(self, conf: Any, value: FilePath) -> FilePath:
        try:
            return FilePath(str(value).format(conf=conf))
        except Exception as exc:
            raise self.invalid(value, conf.source_of(self.name), exc) from exc


class _TableDir(Path):
    def read(self, conf: Any, value: FilePath) -> FilePath:
        return FilePath(conf.relative_to_appdir(value))


class _Autodiscover(Param[Any, Any]):
    expected = "true, false, a list of module names, or a function that returns one"

    def convert(self, value: Any) -> Any:
        if isinstance(value, str):
            raise TypeError(f"one text is not a list; write [{value!r}]")
        if not callable(value) and not isinstance(value, Iterable | bool | int):
            raise TypeError(f"{type(value).__name__} names no modules")
        return value


class CommonSettings(SettingsTable, section=SectionType.COMMON):
    """The application as a whole."""

    env_prefix: Param[str | None, str | None] = Str(
        default=None, env="APP_ENV_PREFIX", since="1.11"
    )
    """Prefix of the names of all environment variables.

    With ``env_prefix="SHOP"`` the setting ``broker`` is read from ``SHOP_BROKER_URL``, and
    ``BROKER_URL`` is not looked at any more. ``APP_ENV_PREFIX`` itself never has a prefix.
    """

    version: Int = Int(default=1, env="APP_VERSION", min_value=1)
    """Version of the application, 1 or more.

    Raise it when the program changes so that it must start afresh: a new version has another id,
    hence another consumer group, other internal topics and another directory for its tables.
    """

    id_format: Str = Str(default="{id}-v{self.version}", env="APP_ID_FORMAT")
    """How the version becomes part of the id, when it is not 1.

    A format text; ``{id}`` is the name that was given, ``{self}`` the settings.
    """

    autodiscover: _Autodiscover = _Autodiscover(default=False)
    """Modules that are imported at start so that their agents and tables are known.

    ``True``: the package named by ``origin`` and everything below it. Or a list of module names, or
    a function without arguments that returns such a list.
    """

    origin: Param[str | None, str | None] = Str(default=None)
    """Import path of the application, such as ``shop.app``.

    Used to find modules and to shorten names in listings. The command line fills it in from ``-A``.
    """

    datadir: _DataDir = _DataDir(
        default="{conf.name}-data",
        env="APP_DATADIR",
        process_default="DATADIR",
    )
    """Directory for everything the worker keeps on disk.

    ``~`` is expanded, and ``{conf.name}`` and other attributes of the settings may be used. A
    relative path starts at the current directory. All versions of the application share it. The
    default can also be given by the option ``--datadir``.
    """

    tabledir: _TableDir = _TableDir(default="tables", env="APP_TABLEDIR")
    """Directory for the stores of tables.

    An absolute path is taken as it is; a relative one is below the directory of this version of the
    application (``<datadir>/v<version>``).
    """

    debug: Bool = Bool(default=False, env="APP_DEBUG")
    """Development mode: the worker warns at start that it is on.

    The option ``--debug`` of the command line is another thing and does not set it.
    """

    timezone: Timezone = Timezone(default=UTC, env="TIMEZONE", since="1.4")
    """Time zone of cron jobs: a ``tzinfo`` object or a name such as ``Europe/Vienna``."""

    blocking_timeout: Param[Any, float | None] = Seconds(default=None, env="BLOCKING_TIMEOUT")
    """How long the event loop may be blocked before the worker logs who blocks it.

    None or 0: nobody watches. Used by the command line when ``--blocking-timeout`` is not given.
    The blocking code is interrupted by ``mode.debug.Blocking``: this is a tool for development.
    """

    url: Param[Any, Any] = URL(
        default=None,
        deprecated=("1.0", "use `broker`"),
    )
    """Old name of ``broker``; taken when ``broker`` is not given."""

    broker: BrokerList = BrokerList(
        default=DEFAULT_BROKER_URL,
        derived=lambda conf: conf._values.get("url"),
        env="BROKER_URL",
    )
    """Where the broker is. The scheme chooses the transport.

    ``kafka://host:9092`` (or ``aiokafka://``) is Apache Kafka; several hosts are separated by
    ``;``, and those without a scheme take that of the first that has one. ``local://`` keeps topics
    in a directory and serves the processes of one machine; ``memory://`` lives and dies with the
    process.
    """

    broker_credentials: Credentials = Credentials(
        default=None, env="BROKER_CREDENTIALS", since="1.5"
    )
    """How the worker identifies itself to the broker, and the encryption of the connection.

    A credentials object, or an ``ssl.SSLContext`` for encryption only. Never text: a password in an
    environment variable has no place to go, so the variable can only be refused.
    """

    processing_guarantee: Enum[ProcessingGuarantee] = Enum(
        ProcessingGuarantee,
        default=ProcessingGuarantee.AT_LEAST_ONCE,
        env="PROCESSING_GUARANTEE",
        since="1.5",
    )
    """How often an event may have an effect when workers die.

    ``at_least_once``: every event is processed, and again after a crash between effect and commit.
    ``exactly_once``: what an event causes, and that it is done, is one transaction; see the guide on exactly-once
    processing for its conditions.
    """

    store: URL = URL(default="memory://", env="APP_STORE")
    """Where tables live on this worker: ``memory://``, or ``rocksdb://`` for files below ``tabledir`` (extra ``rocksdb``).

    Changelog topics keep them safe.
    """

    logging_config: Param[Any, Mapping[str, Any] | None] = Dict(default=None, since="1.5")
    """Configuration of logging, as ``logging.config.dictConfig`` takes it, instead of ours.

    With a true item ``merge`` its formatters, filters, handlers, loggers and root are laid over
    ours.
    """

    loghandlers: LogHandlers = LogHandlers(default=())
    """Further handlers that the worker gives to the root logger."""

    cython_optimizations: Bool = Bool(default=False, env="CYTHON_OPTIMIZATIONS", since="0.14.0")
    """Has no effect: there are no compiled extensions to switch on. Accepted for older programs."""

    ssl_context: Param[ssl.SSLContext | None, ssl.SSLContext | None] = SSLContext(default=None)
    """Encryption of the connection to the broker, when no ``broker_credentials`` are given."""

    cache: URL = URL(default="memory://", env="CACHE_URL", since="1.2")
    """Where web views keep what they cache: ``memory://``, ``redis://`` or ``rediscluster://``."""


class AgentSettings(SettingsTable, section=SectionType.AGENT):
    """Agents."""

    agent_supervisor: _Symbol = _Symbol(default="mode.OneForOneSupervisor", env="AGENT_SUPERVISOR")
    """Supervisor class of agents that name none; it restarts what crashes."""
