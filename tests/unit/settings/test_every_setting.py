"""settings.md 8: every setting, row by row: section, kind, default, environment variable, all sources."""

from __future__ import annotations

import ssl
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from yarl import URL

from faust._version import __version__
from faust.auth import SASLCredentials, SSLCredentials
from faust.exceptions import ImproperlyConfigured
from faust.settings import ProcessingGuarantee, SectionType, Settings, params

BROKERS = [URL("kafka://localhost:9092")]

ROWS: list[tuple[SectionType, str, type[params.Param[Any, Any]], Any, str | None]] = [
    (SectionType.COMMON, "autodiscover", params.Param, False, None),
    (SectionType.COMMON, "datadir", params.Path, Path("shop-data"), "APP_DATADIR"),
    (SectionType.COMMON, "tabledir", params.Path, Path("shop-data/v1/tables"), "APP_TABLEDIR"),
    (SectionType.COMMON, "debug", params.Bool, False, "APP_DEBUG"),
    (SectionType.COMMON, "env_prefix", params.Str, None, "APP_ENV_PREFIX"),
    (SectionType.COMMON, "id_format", params.Str, "{id}-v{self.version}", "APP_ID_FORMAT"),
    (SectionType.COMMON, "origin", params.Str, None, None),
    (SectionType.COMMON, "timezone", params.Timezone, UTC, "TIMEZONE"),
    (SectionType.COMMON, "version", params.Int, 1, "APP_VERSION"),
    (SectionType.COMMON, "cython_optimizations", params.Bool, False, "CYTHON_OPTIMIZATIONS"),
    (SectionType.COMMON, "blocking_timeout", params.Seconds, None, "BLOCKING_TIMEOUT"),
    (SectionType.COMMON, "broker", params.BrokerList, BROKERS, "BROKER_URL"),
    (SectionType.COMMON, "broker_credentials", params.Credentials, None, "BROKER_CREDENTIALS"),
    (SectionType.COMMON, "ssl_context", params.SSLContext, None, None),
    (SectionType.COMMON, "logging_config", params.Dict, None, None),
    (SectionType.COMMON, "loghandlers", params.LogHandlers, [], None),
    (
        SectionType.COMMON,
        "processing_guarantee",
        params.Enum,
        ProcessingGuarantee.AT_LEAST_ONCE,
        "PROCESSING_GUARANTEE",
    ),
    (SectionType.COMMON, "store", params.URL, URL("memory://"), "APP_STORE"),
    (SectionType.COMMON, "cache", params.URL, URL("memory://"), "CACHE_URL"),
    (SectionType.COMMON, "url", params.URL, None, None),
    (
        SectionType.AGENT,
        "agent_supervisor",
        params._Symbol,
        "mode.OneForOneSupervisor",
        "AGENT_SUPERVISOR",
    ),
    (SectionType.BROKER, "broker_consumer", params.BrokerList, BROKERS, "BROKER_CONSUMER_URL"),
    (SectionType.BROKER, "broker_producer", params.BrokerList, BROKERS, "BROKER_PRODUCER_URL"),
    (SectionType.BROKER, "broker_api_version", params.Str, "auto", "BROKER_API_VERSION"),
    (SectionType.BROKER, "broker_check_crcs", params.Bool, True, "BROKER_CHECK_CRCS"),
    (
        SectionType.BROKER,
        "broker_client_id",
        params.Str,
        f"faust-{__version__}",
        "BROKER_CLIENT_ID",
    ),
    (SectionType.BROKER, "broker_commit_every", params.UnsignedInt, 10000, "BROKER_COMMIT_EVERY"),
    (SectionType.BROKER, "broker_commit_interval", params.Seconds, 2.8, "BROKER_COMMIT_INTERVAL"),
    (
        SectionType.BROKER,
        "broker_commit_livelock_soft_timeout",
        params.Seconds,
        300.0,
        "BROKER_COMMIT_LIVELOCK_SOFT_TIMEOUT",
    ),
    (
        SectionType.BROKER,
        "broker_heartbeat_interval",
        params.Seconds,
        3.0,
        "BROKER_HEARTBEAT_INTERVAL",
    ),
    (
        SectionType.BROKER,
        "broker_max_poll_interval",
        params.Seconds,
        1000.0,
        "BROKER_MAX_POLL_INTERVAL",
    ),
    (
        SectionType.BROKER,
        "broker_max_poll_records",
        params.UnsignedInt,
        None,
        "BROKER_MAX_POLL_RECORDS",
    ),
    (
        SectionType.BROKER,
        "broker_rebalance_timeout",
        params.Seconds,
        60.0,
        "BROKER_REBALANCE_TIMEOUT",
    ),
    (SectionType.BROKER, "broker_request_timeout", params.Seconds, 90.0, "BROKER_REQUEST_TIMEOUT"),
    (SectionType.BROKER, "broker_session_timeout", params.Seconds, 60.0, "BROKER_SESSION_TIMEOUT"),
    (
        SectionType.BROKER,
        "broker_transaction_timeout",
        params.Seconds,
        60.0,
        "BROKER_TRANSACTION_TIMEOUT",
    ),
    (SectionType.CONSUMER, "consumer_api_version", params.Str, "auto", "CONSUMER_API_VERSION"),
    (
        SectionType.CONSUMER,
        "consumer_max_fetch_size",
        params.UnsignedInt,
        1048576,
        "CONSUMER_MAX_FETCH_SIZE",
    ),
    (
        SectionType.CONSUMER,
        "consumer_auto_offset_reset",
        params.Str,
        "earliest",
        "CONSUMER_AUTO_OFFSET_RESET",
    ),
    (
        SectionType.CONSUMER,
        "consumer_group_instance_id",
        params.Str,
        None,
        "CONSUMER_GROUP_INSTANCE_ID",
    ),
    (
        SectionType.CONSUMER,
        "consumer_metadata_max_age_ms",
        params.Int,
        300000,
        "CONSUMER_METADATA_MAX_AGE_MS",
    ),
    (
        SectionType.CONSUMER,
        "consumer_connections_max_idle_ms",
        params.Int,
        540000,
        "CONSUMER_CONNECTIONS_MAX_IDLE_MS",
    ),
    (
        SectionType.CONSUMER,
        "ConsumerScheduler",
        params._Symbol,
        "faust.transport.utils:DefaultSchedulingStrategy",
        None,
    ),
    (SectionType.PRODUCER, "producer_acks", params.Int, -1, "PRODUCER_ACKS"),
    (SectionType.PRODUCER, "producer_api_version", params.Str, "auto", "PRODUCER_API_VERSION"),
    (
        SectionType.PRODUCER,
        "producer_compression_type",
        params.Str,
        None,
        "PRODUCER_COMPRESSION_TYPE",
    ),
    (SectionType.PRODUCER, "producer_linger", params.Seconds, 0.0, "PRODUCER_LINGER"),
    (
        SectionType.PRODUCER,
        "producer_max_batch_size",
        params.UnsignedInt,
        16384,
        "PRODUCER_MAX_BATCH_SIZE",
    ),
    (
        SectionType.PRODUCER,
        "producer_max_request_size",
        params.UnsignedInt,
        1000000,
        "PRODUCER_MAX_REQUEST_SIZE",
    ),
    (SectionType.PRODUCER, "producer_partitioner", params._Symbol, None, None),
    (
        SectionType.PRODUCER,
        "producer_request_timeout",
        params.Seconds,
        1200.0,
        "PRODUCER_REQUEST_TIMEOUT",
    ),
    (SectionType.PRODUCER, "producer_threaded", params.Bool, False, "PRODUCER_THREADED"),
    (
        SectionType.PRODUCER,
        "producer_metadata_max_age_ms",
        params.Int,
        300000,
        "PRODUCER_METADATA_MAX_AGE_MS",
    ),
    (
        SectionType.PRODUCER,
        "producer_connections_max_idle_ms",
        params.Int,
        540000,
        "PRODUCER_CONNECTIONS_MAX_IDLE_MS",
    ),
    (SectionType.PRODUCER, "producer_linger_ms", params.UnsignedInt, 0, "PRODUCER_LINGER_MS"),
    (SectionType.SERIALIZATION, "key_serializer", params.Codec, "raw", "APP_KEY_SERIALIZER"),
    (SectionType.SERIALIZATION, "value_serializer", params.Codec, "json", "APP_VALUE_SERIALIZER"),
    (SectionType.RPC, "reply_create_topic", params.Bool, False, "APP_REPLY_CREATE_TOPIC"),
    (SectionType.RPC, "reply_expires", params.Seconds, 86400.0, "APP_REPLY_EXPIRES"),
    (SectionType.RPC, "reply_to", params.Str, "generated", None),
    (SectionType.RPC, "reply_to_prefix", params.Str, "f-reply-", "APP_REPLY_TO_PREFIX"),
    (
        SectionType.STREAM,
        "recovery_consistency_check",
        params.Bool,
        True,
        "RECOVERY_CONSISTENCY_CHECK",
    ),
    (SectionType.STREAM, "store_check_exists", params.Bool, True, "STORE_CHECK_EXISTS"),
    (
        SectionType.STREAM,
        "crash_app_on_aerospike_exception",
        params.Bool,
        True,
        "CRASH_APP_ON_AEROSPIKE_EXCEPTION",
    ),
    (
        SectionType.STREAM,
        "aerospike_retries_on_exception",
        params.Int,
        60,
        "AEROSPIKE_RETRIES_ON_EXCEPTION",
    ),
    (
        SectionType.STREAM,
        "aerospike_sleep_seconds_between_retries_on_exception",
        params.Int,
        1,
        "AEROSPIKE_SLEEP_SECONDS_BETWEEN_RETRIES_ON_EXCEPTION",
    ),
    (
        SectionType.STREAM,
        "stream_buffer_maxsize",
        params.UnsignedInt,
        4096,
        "STREAM_BUFFER_MAXSIZE",
    ),
    (
        SectionType.STREAM,
        "stream_processing_timeout",
        params.Seconds,
        300.0,
        "STREAM_PROCESSING_TIMEOUT",
    ),
    (SectionType.STREAM, "stream_publish_on_commit", params.Bool, False, None),
    (SectionType.STREAM, "stream_recovery_delay", params.Seconds, 0.0, "STREAM_RECOVERY_DELAY"),
    (SectionType.STREAM, "stream_wait_empty", params.Bool, True, "STREAM_WAIT_EMPTY"),
    (SectionType.STREAM, "stream_ack_cancelled_tasks", params.Bool, True, None),
    (SectionType.STREAM, "stream_ack_exceptions", params.Bool, True, None),
    (SectionType.TABLE, "table_cleanup_interval", params.Seconds, 30.0, "TABLE_CLEANUP_INTERVAL"),
    (
        SectionType.TABLE,
        "table_set_changelog_format",
        params.Str,
        "members",
        "TABLE_SET_CHANGELOG_FORMAT",
    ),
    (SectionType.TABLE, "table_key_index_size", params.UnsignedInt, 1000, "TABLE_KEY_INDEX_SIZE"),
    (SectionType.TABLE, "table_standby_replicas", params.UnsignedInt, 1, "TABLE_STANDBY_REPLICAS"),
    (SectionType.TOPIC, "topic_allow_declare", params.Bool, True, "TOPIC_ALLOW_DECLARE"),
    (SectionType.TOPIC, "topic_disable_leader", params.Bool, False, "TOPIC_DISABLE_LEADER"),
    (SectionType.TOPIC, "topic_partitions", params.UnsignedInt, 8, "TOPIC_PARTITIONS"),
    (
        SectionType.TOPIC,
        "topic_replication_factor",
        params.UnsignedInt,
        1,
        "TOPIC_REPLICATION_FACTOR",
    ),
    (SectionType.WEB_SERVER, "web", params.URL, URL("aiohttp://"), None),
    (SectionType.WEB_SERVER, "web_bind", params.Str, "0.0.0.0", "WEB_BIND"),
    (SectionType.WEB_SERVER, "web_application_options", params.Dict, None, None),
    (SectionType.WEB_SERVER, "web_cors_options", params.Dict, None, None),
    (SectionType.WEB_SERVER, "web_enabled", params.Bool, True, "APP_WEB_ENABLED"),
    (SectionType.WEB_SERVER, "web_stats_enabled", params.Bool, False, "APP_WEB_STATS_ENABLED"),
    (SectionType.WEB_SERVER, "web_graph_enabled", params.Bool, False, "APP_WEB_GRAPH_ENABLED"),
    (SectionType.WEB_SERVER, "web_router_enabled", params.Bool, True, "APP_WEB_ROUTER_ENABLED"),
    (SectionType.WEB_SERVER, "web_tables_enabled", params.Bool, True, "APP_WEB_TABLES_ENABLED"),
    (SectionType.WEB_SERVER, "web_metrics_enabled", params.Bool, False, "APP_WEB_METRICS_ENABLED"),
    (
        SectionType.WEB_SERVER,
        "web_dashboard_enabled",
        params.Bool,
        True,
        "APP_WEB_DASHBOARD_ENABLED",
    ),
    (SectionType.WEB_SERVER, "web_host", params.Str, Settings.NODE_HOSTNAME, "WEB_HOST"),
    (SectionType.WEB_SERVER, "web_in_thread", params.Bool, False, None),
    (SectionType.WEB_SERVER, "web_port", params.Port, 6066, "WEB_PORT"),
    (SectionType.WEB_SERVER, "web_ssl_context", params.SSLContext, None, None),
    (SectionType.WEB_SERVER, "web_transport", params.URL, URL("tcp://"), None),
    (
        SectionType.WEB_SERVER,
        "canonical_url",
        params.URL,
        URL(f"http://{Settings.NODE_HOSTNAME}:6066"),
        "NODE_CANONICAL_URL",
    ),
    (SectionType.WORKER, "worker_redirect_stdouts", params.Bool, True, "WORKER_REDIRECT_STDOUTS"),
    (
        SectionType.WORKER,
        "worker_redirect_stdouts_level",
        params.Severity,
        "WARN",
        "WORKER_REDIRECT_STDOUTS_LEVEL",
    ),
    (SectionType.WORKER, "health_stall_timeout", params.Seconds, 60.0, "HEALTH_STALL_TIMEOUT"),
    (SectionType.WORKER, "health_exit_timeout", params.Seconds, None, "HEALTH_EXIT_TIMEOUT"),
    (SectionType.WORKER, "worker_log_format", params.Str, "text", "WORKER_LOG_FORMAT"),
    (SectionType.WORKER, "worker_stop_timeout", params.Seconds, 7.0, "WORKER_STOP_TIMEOUT"),
    (SectionType.EXTENSION, "Agent", params._Symbol, "faust:Agent", None),
    (SectionType.EXTENSION, "Event", params._Symbol, "faust:Event", None),
    (SectionType.EXTENSION, "Schema", params._Symbol, "faust:Schema", None),
    (SectionType.EXTENSION, "Stream", params._Symbol, "faust:Stream", None),
    (SectionType.EXTENSION, "Table", params._Symbol, "faust:Table", None),
    (SectionType.EXTENSION, "SetTable", params._Symbol, "faust:SetTable", None),
    (SectionType.EXTENSION, "GlobalTable", params._Symbol, "faust:GlobalTable", None),
    (SectionType.EXTENSION, "SetGlobalTable", params._Symbol, "faust:SetGlobalTable", None),
    (SectionType.EXTENSION, "TableManager", params._Symbol, "faust.tables:TableManager", None),
    (SectionType.EXTENSION, "Serializers", params._Symbol, "faust.serializers:Registry", None),
    (SectionType.EXTENSION, "Worker", params._Symbol, "faust.worker:Worker", None),
    (
        SectionType.EXTENSION,
        "PartitionAssignor",
        params._Symbol,
        "faust.assignor:PartitionAssignor",
        None,
    ),
    (
        SectionType.EXTENSION,
        "LeaderAssignor",
        params._Symbol,
        "faust.assignor:LeaderAssignor",
        None,
    ),
    (SectionType.EXTENSION, "Router", params._Symbol, "faust.app.router:Router", None),
    (SectionType.EXTENSION, "Topic", params._Symbol, "faust:Topic", None),
    (SectionType.EXTENSION, "HttpClient", params._Symbol, "aiohttp.client:ClientSession", None),
    (SectionType.EXTENSION, "Monitor", params._Symbol, "faust.sensors:Monitor", None),
]
NAMES = [row[1] for row in ROWS]
DEPRECATED = {
    "producer_linger_ms": "1.11",
    "stream_ack_cancelled_tasks": "1.0",
    "stream_ack_exceptions": "1.0",
    "url": "1.0",
}
SPECIAL: dict[str, tuple[Any, Any]] = {
    "autodiscover": (["shop"], ["shop"]),
    "datadir": ("/srv/{conf.name}", Path("/srv/shop")),
    "tabledir": ("/srv/tables", Path("/srv/tables")),
    "processing_guarantee": ("at_least_once", ProcessingGuarantee.AT_LEAST_ONCE),
    "producer_acks": ("all", -1),
    "broker_api_version": ("2.8", "2.8"),
    "consumer_api_version": ("2.8", "2.8"),
    "producer_api_version": ("2.8", "2.8"),
    "producer_compression_type": ("lz4", "lz4"),
    "consumer_auto_offset_reset": ("latest", "latest"),
    "worker_redirect_stdouts_level": ("error", "error"),
    "worker_log_format": ("json", "json"),
    "web_enabled": ("0", False),
    "timezone": ("utc", UTC),
    "table_standby_replicas": ("0", 0),
    "table_set_changelog_format": ("operations", "operations"),
}
SAMPLES: dict[type[params.Param[Any, Any]], tuple[Any, Any]] = {
    params.Str: ("x{id}", "x{id}"),
    params.Codec: ("pickle", "pickle"),
    params.Bool: ("yes", True),
    params.Int: ("7", 7),
    params.UnsignedInt: ("7", 7),
    params.Port: ("7", 7),
    params.Seconds: ("99.5", 99.5),
    params.URL: ("x://y", URL("x://y")),
    params.BrokerList: ("kafka://a;b", [URL("kafka://a"), URL("kafka://b")]),
    params._Symbol: ("json:dumps", __import__("json").dumps),
    params.Dict: ('{"version": 1}', {"version": 1}),
    params.LogHandlers: ([], []),
}
NO_TEXT = {"broker_credentials", "ssl_context", "web_ssl_context"}
GIVEN = [row for row in ROWS if row[1] not in NO_TEXT]


def ids(rows: list[Any]) -> list[str]:
    """Name test cases after the setting."""
    return [row[1] for row in rows]


def sample(row: Any) -> tuple[Any, Any]:
    """Return a value that this release takes, as it is written and as it is read."""
    name, kind, default = row[1], row[2], row[3]
    given: tuple[Any, Any] = SPECIAL[name] if name in SPECIAL else SAMPLES[kind]
    built = Settings.SETTINGS[name].not_built is None
    return given if built or name in SPECIAL else (default, default)


def read(conf: Settings, name: str) -> Any:
    """Read a setting, by attribute, and a deprecated one with its warning."""
    if name in DEPRECATED:
        with pytest.warns(UserWarning, match="deprecated"):
            return getattr(conf, name)
    param = Settings.SETTINGS[name]
    if isinstance(param, params._Symbol) and param.not_built:
        return conf.shown(name)  # there is no such class to import yet
    return getattr(conf, name)


def make(**options: Any) -> Settings:
    """Make settings that see nothing of the real environment."""
    return Settings("shop", **{"env": {}, **options})


def test_the_table_is_complete() -> None:
    """settings.md 1 and 8: there are 114 settings, 110 of them not deprecated; and seven of our own."""
    assert sorted(NAMES) == sorted(Settings.SETTINGS)
    assert (len(Settings.SETTINGS), len(Settings.setting_names())) == (114 + 7, 110 + 7)
    assert Settings.setting_names() == set(NAMES) - DEPRECATED.keys()
    deprecated = {n: p.deprecated[0] for n, p in Settings.SETTINGS.items() if p.deprecated}
    assert deprecated == DEPRECATED


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_section_kind_and_default(row: Any) -> None:
    """settings.md 8: chapter, kind, environment variable and default are as documented."""
    section, name, kind, default, env = row
    param = Settings.SETTINGS[name]
    assert param is getattr(Settings, name)
    assert param in Settings.SETTINGS_BY_SECTION[section]
    assert isinstance(param, kind)
    assert param.env == env
    conf = make()
    if name == "reply_to":
        assert UUID(conf.reply_to.removeprefix("f-reply-")).version == 4
        assert conf.reply_to == conf.reply_to != make().reply_to
    elif kind is params._Symbol:
        assert param.default == default
    else:
        assert read(conf, name) == default
        assert type(read(conf, name)) is type(default)


@pytest.mark.parametrize("row", GIVEN, ids=ids(GIVEN))
def test_every_source(row: Any) -> None:
    """settings.md 2 and 4: keyword, config object, environment and assignment convert alike, and say where from."""
    name, env = row[1], row[4]
    written, wanted = sample(row)
    if (
        wanted is None or wanted == "generated"
    ):  # its feature is not built: there is nothing one could give
        return
    conf = make(**{name: written})
    assert read(conf, name) == wanted
    assert conf.source_of(name) == f"keyword argument {name}"
    conf = make(config_source={name: written})
    assert read(conf, name) == wanted
    assert conf.source_of(name) == f"config object {name}"
    conf = make()
    setattr(conf, name, written)
    assert read(conf, name) == wanted
    if env is not None and isinstance(written, str):
        conf = make(env={f"P_{env}": written, env: "?"}, env_prefix="P")
        if name != "env_prefix":
            assert read(conf, name) == wanted
            assert conf.source_of(name) == f"environment variable P_{env}"


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_only_documented_variables_count(row: Any) -> None:
    """settings.md 3: a setting without variable is not read from the environment."""
    name, env = row[1], row[4]
    if env is None:
        conf = make(env={name.upper(): "?", f"APP_{name.upper()}": "?"})
        assert conf.is_default(name)


def test_credentials_and_contexts() -> None:
    """settings.md 7: a context is wrapped, an object taken; the variable can only fail."""
    context = ssl.create_default_context()
    mine = SASLCredentials(username="u", password="p")
    assert make(broker_credentials=mine).broker_credentials is mine
    wrapped = make(broker_credentials=context).broker_credentials
    assert isinstance(wrapped, SSLCredentials)
    assert wrapped.context is context
    assert make(ssl_context=context).ssl_context is context
    with pytest.raises(ImproperlyConfigured, match="environment variable BROKER_CREDENTIALS"):
        make(env={"BROKER_CREDENTIALS": "user:password"})


def other_than_default(param: params.Param[Any, Any]) -> Any:
    """Return a value that is not the default."""
    if isinstance(param, params.Bool):
        return not param.default
    return OTHER[type(param)] if type(param) in OTHER else SAMPLES[type(param)][0]


TO_COME = [param for param in Settings.SETTINGS.values() if param.not_built is not None]
OTHER: dict[type[params.Param[Any, Any]], Any] = {
    params._Symbol: "no.such.module:Name",
    params.Timezone: "Europe/Vienna",
    params.SSLContext: ssl.create_default_context(),
}


@pytest.mark.parametrize("param", TO_COME, ids=lambda param: param.name)
def test_settings_to_come_are_refused(param: params.Param[Any, Any]) -> None:
    """A setting whose feature is not built takes nothing but its default, from any source."""
    other = other_than_default(param)
    words = f"{param.name!r}.*not supported yet: its feature, {param.not_built}"
    with pytest.raises(ImproperlyConfigured, match=words):
        make(**{param.name: other})
    with pytest.raises(ImproperlyConfigured, match=words):
        make(config_source={param.name: other})
    with pytest.raises(ImproperlyConfigured, match=words):
        setattr(make(), param.name, other)
    if param.env is not None:
        with pytest.raises(ImproperlyConfigured, match=words):
            make(env={param.env: str(other)})
    for harmless in (None, param.default, *param.also_built):
        make(**{param.name: harmless})


def test_values_to_come_are_refused() -> None:
    """Documented values without their feature are refused as well: this is the whole list."""
    refused = {(p.name, value) for p in Settings.SETTINGS.values() for value in p.refused}
    assert refused <= {
        ("processing_guarantee", ProcessingGuarantee.EXACTLY_ONCE),
    }
    for name, value in refused:
        with pytest.raises(ImproperlyConfigured, match=f"{name}.*not supported yet"):
            make(**{name: value})


def test_a_url_object_of_a_directory_keeps_its_scheme() -> None:
    """settings.md: a broker given as a URL object is the one that is meant, also where it has no host."""
    given = Settings("first", broker="local:///somewhere/broker").broker
    assert Settings("second", broker=given).broker == given
