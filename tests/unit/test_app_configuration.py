"""settings.md 1, 4 and 5: how an app comes by its settings."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import faust
from faust.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured

APPS: list[faust.App] = []
"""Signals know their senders by address: an app made where one has died would have its handlers."""


def make(id: str = "shop", **options: Any) -> faust.App:
    """Make an app that sees nothing of the real environment."""
    app = faust.App(id, **{"env": {}, **options})
    APPS.append(app)
    return app


def connect(signal: Any, handler: Any) -> None:
    """Connect a handler that names its arguments, which the types of mode do not foresee."""
    signal.connect(handler)


# -- 1


def test_nothing_is_evaluated_before_the_first_read() -> None:
    """The constructor keeps its arguments; a wrong one is an error at the first read of conf."""
    app = make(topic_partitions="many", brokr="x")
    assert not app.configured
    with pytest.raises(ImproperlyConfigured, match="Did you mean 'broker'"):
        _ = app.conf
    assert not app.configured


def test_the_id_is_the_only_positional_argument() -> None:
    """A second positional argument, and no id at all, are TypeErrors."""
    with pytest.raises(TypeError):
        faust.App()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        faust.App("a", "b")  # type: ignore[call-arg]


def test_the_environment_can_be_given() -> None:
    """env= is read in the place of os.environ, and beats the keyword."""
    app = make(env={"TOPIC_PARTITIONS": "3"}, topic_partitions=5)
    assert app.conf.topic_partitions == 3


# -- 4


def test_the_signals_of_configuration_in_order() -> None:
    """Before, with the new settings and not yet configured, after; once each."""
    app = make()
    seen: list[Any] = []

    def before(app: faust.App, **_: Any) -> None:
        seen.append(("before", app.configured))

    def on(app: faust.App, conf: faust.Settings, **_: Any) -> None:
        seen.append(("on", app.configured))
        conf.topic_partitions = 3

    def after(app: faust.App, **_: Any) -> None:
        seen.append(("after", app.configured, app.conf.topic_partitions))

    connect(app.on_before_configured, before)
    connect(app.on_configured, on)
    connect(app.on_after_configured, after)
    assert app.conf.topic_partitions == 3
    assert app.conf is app.conf
    assert seen == [("before", False), ("on", False), ("after", True, 3)]


def test_reading_conf_while_it_is_made_is_an_error() -> None:
    """A handler that reads app.conf and not its argument is told, instead of recursing."""
    app = make()

    def on(app: faust.App, *_: Any, **__: Any) -> None:
        assert app.conf

    connect(app.on_configured, on)
    with pytest.raises(ImproperlyConfigured, match="use the argument conf"):
        _ = app.conf


def test_what_configures_and_what_does_not() -> None:
    """Topics, agents, tables, channels and streams read the settings; tasks, timers and signals do not."""
    app = make()

    @app.task
    async def task() -> None: ...

    @app.timer(1.0)
    async def timer() -> None: ...

    @app.on_worker_init.connect
    def on_worker_init(*_: Any, **__: Any) -> None: ...

    assert not app.configured
    app.topic("x")
    assert app.configured


def test_a_config_object_is_read_when_it_is_needed(tmp_path: Path, monkeypatch: Any) -> None:
    """config_from_object reads nothing; the first read of conf does, and it beats the keyword."""
    monkeypatch.chdir(tmp_path)
    app = make(topic_partitions=1)
    app.config_from_object("shop_config_later:production")
    (tmp_path / "shop_config_later.py").write_text(
        "class production:\n topic_partitions = 3\n id = 'other'\n"
    )
    assert (app.conf.topic_partitions, app.conf.id) == (3, "shop")
    del sys.modules["shop_config_later"]


@pytest.mark.parametrize("obj", ["no_such_module_at_all", "json:no_such_name"])
@pytest.mark.parametrize("force", [False, True])
def test_silent_is_remembered(obj: str, force: bool) -> None:
    """A path that leads nowhere is an error when it is read, and with silent=True an empty configuration."""
    app = make(topic_partitions=7)
    app.config_from_object(obj, silent=True, force=force)
    assert app.configured == force
    assert app.conf.topic_partitions == 7
    loud = make()
    with pytest.raises((ImportError, AttributeError)):
        loud.config_from_object(obj, force=force)
        _ = loud.conf


def test_force_reads_at_once() -> None:
    """With force=True the signals are sent by the call."""
    app = make()
    app.config_from_object({"topic_partitions": 3}, force=True)
    assert app.configured
    assert app.conf.topic_partitions == 3


def test_configuring_again_warns_and_works() -> None:
    """A configured app is configured again at once, the signals are sent again."""
    app = make()
    seen: list[int] = []

    def on(app: faust.App, conf: faust.Settings, **_: Any) -> None:
        seen.append(conf.topic_partitions)

    connect(app.on_configured, on)
    _ = app.conf
    with pytest.warns(AlreadyConfiguredWarning, match="'shop' is already configured") as told:
        app.config_from_object({"topic_partitions": 3})
    assert told[0].filename == __file__
    assert seen == [8, 3]


def test_config_source_is_the_same_as_config_from_object() -> None:
    """App(config_source=...) beats keywords and loses to the environment."""
    source = {"topic_partitions": 3, "topic_replication_factor": 3}
    app = make(config_source=source, topic_partitions=5, env={"TOPIC_REPLICATION_FACTOR": "2"})
    assert (app.conf.topic_partitions, app.conf.topic_replication_factor) == (3, 2)


def test_settings_can_be_replaced() -> None:
    """app.conf = settings sends no signals."""
    app = make()
    app.on_configured.connect(lambda *_, **__: pytest.fail("no signal"), weak=False)
    app.conf = faust.Settings("other", env={})
    assert app.conf.id == "other"


def test_finalize_wants_an_id() -> None:
    """An app without id cannot be finalized, not even with a version that would make it '-v2'."""
    for app in (make(""), make("", version=2)):
        with pytest.raises(ImproperlyConfigured, match="App requires an id!"):
            app.finalize()
        assert not app.finalized
    app = make()
    assert app.serializers is not None
    assert app.finalized


@pytest.mark.parametrize("variable", ["FAUST_STRICT", "F_STRICT"])
def test_strict_refuses_early_reads(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """settings.md 3: with FAUST_STRICT (any text) conf cannot be read before finalize()."""
    monkeypatch.setenv(variable, "0")
    app = make()
    with pytest.raises(ImproperlyConfigured, match=r"FAUST_STRICT.*app\.finalize"):
        _ = app.conf
    app.finalize()
    assert app.conf.id == "shop"
    monkeypatch.setenv(variable, "")
    assert make().conf.id == "shop"


def test_on_init_and_getenv() -> None:
    """Settings.on_init is called with the arguments at the end; getenv looks a variable up with the prefix."""
    seen: list[Any] = []

    class Mine(faust.Settings):
        def on_init(self, id: str, **options: Any) -> None:
            seen.append((id, options, self.topic_partitions))

    class App(faust.App):
        Settings = Mine

    app = App("shop", env={"P_COLOUR": "red"}, env_prefix="P", topic_partitions=3)
    assert isinstance(app.conf, Mine)
    assert seen == [("shop", {"env_prefix": "P", "topic_partitions": 3}, 3)]
    assert (app.conf.getenv("COLOUR"), app.conf.getenv("NOPE")) == ("red", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.conf.topic_partitions = 4  # what on_init has read does not count as read


# -- 6 and 7


def test_passwords_are_not_in_labels() -> None:
    """Neither label nor repr of the app shows the password of a broker URL."""
    app = make(broker="kafka://me:s3cret@host?token=t0ken")
    assert app.conf.broker == [URL("kafka://me:s3cret@host?token=t0ken")]
    for text in (app.label, repr(app), str(app.conf.asdict()), repr(app.conf)):
        assert "s3cret" not in text
        assert "t0ken" not in text


def test_secrets_of_mappings_are_hidden() -> None:
    """asdict() hides what has the name of a secret, however deep it is nested."""
    handler = {"class": "x.Mail", "credentials": ["me", "s3cret"], "args": [{"password": "s3cret"}]}
    app = make(logging_config={"version": 1, "handlers": {"mail": handler}})
    shown = app.conf.asdict()["logging_config"]
    assert "s3cret" not in str(shown)
    assert shown["handlers"]["mail"]["class"] == "x.Mail"
    assert app.conf.logging_config["handlers"]["mail"] is handler  # type: ignore[index]


@pytest.mark.parametrize(("request_", "session"), [(59, 60), (1, 2)])
def test_the_request_timeout_is_not_less_than_the_session_timeout(
    request_: float, session: float
) -> None:
    """settings.md 8, Broker: checked when the consumer is made."""
    app = make(broker="memory://", broker_request_timeout=request_, broker_session_timeout=session)
    with pytest.raises(
        ImproperlyConfigured, match="must not be less than 'broker_session_timeout'"
    ):
        _ = app.consumer


def test_the_monitor_is_the_one_that_is_given() -> None:
    """livecheck-sensors.md 2: `App(monitor=...)`, `App(Monitor=...)` and `app.monitor = ...` replace the monitor."""

    class MyMonitor(faust.Monitor):
        pass

    monitor = faust.Monitor()
    assert make(monitor=monitor).monitor is monitor
    app = make(Monitor=MyMonitor)
    assert type(app.monitor) is MyMonitor
    app.monitor = monitor
    assert app.monitor is monitor
    assert type(make().monitor) is faust.Monitor
