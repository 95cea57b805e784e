"""What agents yield is what asking them gives; tasks and signals take the functions that the documents show (issue 5)."""

from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any, assert_type
from zoneinfo import ZoneInfo

import mode

import faust
from faust.agents import ReplyPromise


class Order(faust.Record):
    account: str


app = faust.App("shop")
orders = app.topic("orders", key_type=str, value_type=Order)


# -- asking


@app.agent(orders)
async def price(stream: faust.Stream[Order]) -> AsyncIterator[float]:
    """Answer with a number."""
    async for order in stream:
        yield len(order.account) * 1.5


@app.agent(value_type=int)
async def double(stream: faust.Stream[int]) -> AsyncIterator[int]:
    """Answer with a number of its own topic."""
    async for number in stream:
        yield number * 2


@app.agent()
async def untyped(stream: Any) -> AsyncIterator[str]:
    """Answer whatever comes with text."""
    async for value in stream:
        yield str(value)


assert_type(price, faust.Agent[Order, float])
assert_type(double, faust.Agent[int, int])
assert_type(untyped, faust.Agent[Any, str])


async def ask() -> None:
    """Every way of asking gives what is yielded."""
    assert_type(await price.ask(Order(account="a")), float)
    assert_type(await double.join([1, 2]), list[int])
    assert_type(await untyped.kvjoin([("k", 1)]), list[str])
    async for number in double.map(range(3)):
        assert_type(number, int)
    async for text in untyped.kvmap([("k", 1)]):
        assert_type(text, str)
    assert_type(await double.ask_nowait(1, reply_to="answers"), ReplyPromise[int])
    assert_type(await double.cast(1), None)


# -- sinks, supervisors, handlers


def plain(value: float) -> None:
    """A sink."""


async def slow(value: float) -> None:
    """A sink that waits."""


async def on_error(agent: faust.Agent[Any, Any], exc: BaseException) -> None:
    """Be told."""


@app.agent(
    orders,
    name="sinks",
    sink=[plain, slow, price, orders, app.channel()],
    supervisor_strategy=mode.OneForAllSupervisor,
    on_error=on_error,
    concurrency=3,
)
async def sinks(stream: faust.Stream[Order]) -> AsyncIterator[float]:
    """Yield to sinks of every kind."""
    async for _ in stream:
        yield 1.0


sinks.add_sink(plain)
sinks.remove_sink(plain)


# -- tasks


@app.task
async def nullary() -> None:
    """A task without argument."""


@app.task(on_leader=True)
async def of_the_app(app: faust.App) -> int:
    """A task of the app."""
    return 1


@app.timer(timedelta(seconds=1), on_leader=True)
async def timer() -> None:
    """A timer."""


@app.crontab("30 18 * * *", timezone=ZoneInfo("Europe/Vienna"))
async def cron(app: faust.App) -> None:
    """A cron job."""


assert_type(nullary, Callable[[], Coroutine[Any, Any, Any]])
assert_type(of_the_app, Callable[[], Coroutine[Any, Any, Any]])
assert_type(timer, Callable[[], Coroutine[Any, Any, Any]])
assert_type(cron, Callable[[], Coroutine[Any, Any, Any]])


@app.service
class Poller(faust.Service):
    """A service."""


assert_type(Poller, type[Poller])


# -- signals


@app.on_before_shutdown.connect
async def before_shutdown(app: faust.App, **kwargs: Any) -> None:
    """An asynchronous handler, as the documents write it."""


@app.on_partitions_assigned.connect()
async def assigned(app: faust.App, partitions: set[faust.TP], **kwargs: Any) -> None:
    """One with an argument."""


@faust.App.on_configured.connect(weak=True)
def configured(app: faust.App, conf: faust.Settings, **kwargs: Any) -> None:
    """A plain handler, of every app."""


async def handlers_stay_what_they_are() -> None:
    """Connecting gives the function back."""
    assert_type(await before_shutdown(app), None)
