"""The sensor contract (livecheck-sensors.md 1): who is told what, and what it costs when nobody listens."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import faust
from faust.sensors.base import Hooks, Sensor, SensorDelegate

MOMENTS = [
    name for name, _ in inspect.getmembers(Sensor, inspect.isfunction) if name in Hooks.__slots__
]


class Deaf(Sensor):
    """Overrides nothing."""


class Counting(Sensor):
    """Remembers tables, and gives every send a number."""

    def __init__(self) -> None:
        super().__init__()
        self.sets: list[Any] = []
        self.sent: list[Any] = []
        self.last = 0

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        self.sets.append((table, key, value))

    def on_send_initiated(
        self, producer: Any, topic: str, message: Any, keysize: int, valsize: int
    ) -> Any:
        self.last += 1
        return (topic, self.last)

    def on_send_completed(self, producer: Any, state: Any, metadata: Any) -> None:
        self.sent.append((producer, state, metadata))

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        self.sent.append((producer, state, exc))


def arguments(name: str) -> tuple[list[Any], dict[str, Any]]:
    """Make one argument for each parameter of a moment; its state, if it has one, is None."""
    parameters = list(inspect.signature(getattr(Sensor, name)).parameters.values())[1:]
    positional = [
        None if parameter.name == "state" else parameter.name
        for parameter in parameters
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    keywords = {p.name: p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    return positional, keywords


def test_every_moment_has_a_hook() -> None:
    """livecheck-sensors.md 1: each of the 22 callbacks, the two of monitors, and our own, has a hook and a method."""
    assert len(MOMENTS) == len(Hooks.__slots__) == 31
    assert all(callable(getattr(SensorDelegate, name)) for name in MOMENTS)


@pytest.mark.parametrize("name", MOMENTS)
def test_a_moment_reaches_exactly_who_overrides_it(name: str) -> None:
    """livecheck-sensors.md 1: a callback is passed on with its arguments; a hook nobody overrides stays None."""
    heard: list[Any] = []

    def listen(self: Any, *args: Any, **kwargs: Any) -> None:
        heard.append((self, args, kwargs))

    sensor = type("Listening", (Sensor,), {name: listen})()
    delegate = SensorDelegate()
    delegate.add(Deaf())
    positional, keywords = arguments(name)
    getattr(delegate, name)(*positional, **keywords)
    assert all(getattr(delegate.hooks, one) is None for one in MOMENTS)
    delegate.add(sensor)
    assert [one for one in MOMENTS if getattr(delegate.hooks, one) is not None] == [name]
    getattr(delegate, name)(*positional, **keywords)
    assert heard == [(sensor, tuple(positional), keywords)]
    delegate.remove(sensor)
    getattr(delegate, name)(*positional, **keywords)
    assert len(heard) == 1
    assert getattr(delegate.hooks, name) is None


def test_each_sensor_gets_its_own_state_back() -> None:
    """livecheck-sensors.md 1: a beginning gives {sensor: state}; each sensor is handed its own at the end."""
    first, second = Counting(), Counting()
    second.last = 10
    delegate = SensorDelegate()
    for sensor in (first, second, Deaf()):
        delegate.add(sensor)
    state = delegate.on_send_initiated("producer", "t", "message", 1, 2)
    assert state == {first: ("t", 1), second: ("t", 11)}
    delegate.on_send_completed("producer", state, "metadata")  # type: ignore[arg-type]
    error = ValueError()
    delegate.on_send_error("producer", error, state)
    assert first.sent == [("producer", ("t", 1), "metadata"), ("producer", ("t", 1), error)]
    assert second.sent == [("producer", ("t", 11), "metadata"), ("producer", ("t", 11), error)]


def test_the_hooks_object_stays_as_sensors_come_and_go() -> None:
    """A hot loop may keep `hooks`: sensors added later are seen through the same object."""
    delegate = SensorDelegate()
    hooks = delegate.hooks
    sensor = Counting()
    delegate.add(sensor)
    assert hooks is delegate.hooks
    assert hooks.on_table_set is not None
    hooks.on_table_set("table", "k", 1)
    assert sensor.sets == [("table", "k", 1)]
    assert sensor in delegate
    assert list(delegate) == [sensor]
    assert len(delegate) == 1


def test_what_a_sensor_raises_is_raised_at_the_moment() -> None:
    """livecheck-sensors.md 1: exceptions in callbacks propagate into the caller."""

    class Broken(Sensor):
        def on_table_get(self, table: Any, key: Any) -> None:
            raise LookupError(key)

    delegate = SensorDelegate()
    delegate.add(Broken())
    with pytest.raises(LookupError, match="k"):
        delegate.on_table_get("table", "k")


def test_a_sensor_that_was_not_added_cannot_be_removed() -> None:
    """Removing a stranger is an error, not a silence."""
    with pytest.raises(KeyError):
        SensorDelegate().remove(Deaf())


async def test_sensors_live_longer_than_everything_else() -> None:
    """livecheck-sensors.md 1, app.md 6: sensors are started first and stopped last, as children of the app."""
    order: list[str] = []

    class Living(Sensor):
        async def on_start(self) -> None:
            order.append("sensor starts")

        async def on_stop(self) -> None:
            order.append("sensor stops")

    class Boot(faust.BootStrategy):
        enable_kafka = False

        def agents(self) -> Any:
            order.append("asked for agents")
            return super().agents()

    class MyApp(faust.App):
        BootStrategy = Boot

    app = MyApp("sensors", broker="memory://", datadir="/tmp/faust-sensors")
    sensor = Living()
    app.sensors.add(sensor)
    await app.start()
    assert order == ["asked for agents", "sensor starts"]
    assert app._children[0] is sensor
    await app.stop()
    assert order[-1] == "sensor stops"
    assert sensor.asdict() == {}
