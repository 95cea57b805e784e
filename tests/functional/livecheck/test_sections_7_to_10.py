"""LiveCheck beside a running application (livecheck-sensors.md 7 to 10)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import faust
from faust.livecheck import Case, LiveCheck, Signal, TestRunner, current_test
from faust.livecheck.exceptions import (
    LiveCheckTestFailed,
    LiveCheckTestRaised,
    LiveCheckTestSkipped,
    LiveCheckTestTimeout,
    ServiceDown,
)
from faust.livecheck.models import State, TestExecution, TestReport
from tests.functional.livecheck.shop import Order, make_shop
from tests.support.ports import free_port

Name = Callable[..., str]


@pytest.fixture
def broker(topic_name: Name) -> str:
    """A broker in memory, new and empty."""
    return f"memory://{topic_name('broker')}"


async def until(done: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(case: Any, datadir: Path, *apps: faust.App) -> AsyncIterator[list[TestReport]]:
    """Run the LiveCheck application of a case, and *apps*; gives the reports that come."""
    livecheck = case.app
    reports: list[TestReport] = []
    reader = faust.App(
        "reader", broker=livecheck._options["broker"], web_enabled=False, datadir=datadir / "reader"
    )
    topic = reader.topic("livecheck-report", key_type=str, value_type=TestReport)

    @reader.agent(topic)
    async def read(stream: Any) -> None:
        async for key, report in stream.items():
            assert key == (report.test.id if report.test else None)
            reports.append(report)

    async with livecheck, reader:
        for app in apps:
            await app.start()
        try:
            yield reports
        finally:
            for app in apps:
                await app.stop()


def a_case(broker: str, tmp_path: Path, run: Callable[..., Awaitable[None]], **options: Any) -> Any:
    """Make a LiveCheck application whose only case does what *run* does."""
    app = faust.App(
        "bare", broker=broker, web_enabled=False, topic_partitions=1, datadir=tmp_path / "bare"
    )
    body = {"__module__": __name__, "__annotations__": {"sig": Signal[Any]}, "run": run}
    return app.LiveCheck(web_enabled=False).case(**options)(type("checked", (Case,), body))


@pytest.mark.parametrize("where", ["memory", "local", "held"])
async def test_7_a_test_rides_along(where: str, broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 7, 8, 10: a test travels over topics and `group_by`, its signals come back, it is reported.

    (Also when what an event sends is held back until its commit.)
    """
    url = f"local://{tmp_path}/broker" if where == "local" else broker
    app, case = make_shop(url, datadir=tmp_path / "shop", stream_publish_on_commit=where == "held")
    async with running(case, tmp_path, app) as reports:
        order = Order("o1", "us")
        async with case.maybe_trigger(None, order) as test:
            assert current_test() is test
            await app.topic("orders", key_type=str, value_type=Order).send(key="o1", value=order)
        assert current_test() is None
        await until(lambda: reports)
        report = reports[0]
        assert report.state is State.DO_NOT_SHARE
        assert report.test is not None
        assert test is not None
        assert report.test.id == test.id
        assert report.case_name == case.name
        assert set(report.signal_latency) == {"created", "shipped"}
        assert report.runtime is not None
        assert case.status is State.DO_NOT_SHARE
        assert case.total_by_state[State.DO_NOT_SHARE] == 1


async def test_10_events_outside_of_tests_signal_nothing(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8: with probability 0 nothing is triggered, and nobody signals."""
    app, case = make_shop(broker, datadir=tmp_path / "shop")
    case.probability = 0.0
    async with running(case, tmp_path, app) as reports:
        async with case.maybe_trigger(None, Order("o1")) as test:
            assert test is None
            await app.topic("orders", key_type=str, value_type=Order).send(
                key="o1", value=Order("o1")
            )
        await until(lambda: app.monitor.messages_sent_by_topic["paid"])
        await case.created.send(Order("o1"))
        await asyncio.sleep(0.1)
        assert case.app.monitor.messages_received_total == 0
        assert not reports


OUTCOMES = {
    "fails": (State.FAIL, LiveCheckTestFailed),
    "raises": (State.ERROR, LiveCheckTestRaised),
    "finds a service down": (State.ERROR, ServiceDown),
    "times out": (State.TIMEOUT, LiveCheckTestTimeout),
    "skips": (State.SKIP, LiveCheckTestSkipped),
    "passes": (State.DO_NOT_SHARE, None),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_9_every_outcome(outcome: str, broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 9: each way in which `run` can end has its state, error, callback and report."""
    state, error = OUTCOMES[outcome]
    runners: list[TestRunner] = []

    async def run(self: Any) -> None:
        runner = self.current_execution
        runners.append(runner)
        assert self.current_test is runner.test
        if outcome == "skips":
            await runner.skip("not today")
        elif outcome == "fails":
            assert runner.test.id == "red"
        elif outcome == "raises":
            raise KeyError("violets")
        elif outcome == "finds a service down":
            raise ServiceDown("nobody at the till")
        elif outcome == "times out":
            await self.sig.wait(timeout=0.05)

    case = a_case(broker, tmp_path, run)
    async with running(case, tmp_path) as reports:
        test = await case.trigger("t1")
        await until(lambda: runners and runners[0].state is not State.INIT)
        if outcome == "skips":
            await asyncio.sleep(0.1)
            assert (case.status, reports) == (State.INIT, [])
            return
        await until(lambda: reports)
        assert [one.state for one in reports] == [case.status] == [state]
        assert (reports[0].error is None) == (error is None)
        failed = int(error is not None)
        assert case.consecutive_failures == case.total_failures == failed
        assert case.total_by_state == {state: 1}
        if error is not None:
            with pytest.raises(error):
                await case.execute(test)
        else:
            await case.execute(test)
            assert case.total_by_state == {state: 1}
            assert len(case.runtime_history) == 2
            assert len(case.frequency_history) == 1


@pytest.mark.parametrize("realtime", [False, True])
async def test_9_lines_of_a_passing_test(
    realtime: bool, broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """livecheck-sensors.md 9: what a passing test logs is written together at its end; with `realtime_logs` at once."""

    async def run(self: Any) -> None:
        self.current_execution.log_info("step %d", 1)

    case = a_case(broker, tmp_path, run, realtime_logs=realtime)
    caplog.set_level(logging.INFO, "faust.livecheck")
    async with running(case, tmp_path) as reports:
        await case.trigger()
        await until(lambda: reports)
    told = [record.getMessage() for record in caplog.records if "step 1" in record.getMessage()]
    assert len(told) == 1
    assert ("Test OK in" in told[0]) is not realtime
    assert "Test OK in" in caplog.text


async def test_9_what_is_inactive_or_expired_is_skipped(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 9: an inactive case, and an execution that is too old, do not run and are not reported."""

    async def run(self: Any) -> None:
        raise AssertionError("not to be run")

    case = a_case(broker, tmp_path, run, test_expires=0.0)
    test = await case.trigger()
    assert test.is_expired
    with pytest.raises(LiveCheckTestSkipped, match="expired"):
        await case.execute(test)
    case.active = False
    with pytest.raises(LiveCheckTestSkipped, match="inactive"):
        await case.execute(test)
    assert case.status is State.INIT
    await case.app.target.stop()
    await case.app.target.close_clients()


async def test_9_failures_in_a_row_let_the_suite_fail(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 9: the suite fails and is reported once; it passes again only after the delay."""
    works = False

    async def run(self: Any) -> None:
        assert works

    case = a_case(broker, tmp_path, run, max_consecutive_failures=3)
    async with running(case, tmp_path) as reports:
        for _ in range(4):
            await case.trigger()
        await until(lambda: len(reports) == 5)
        suite = [report for report in reports if report.test is None]
        assert len(suite) == 1
        assert suite[0].state is State.FAIL
        assert case.last_fail is not None
        works = True
        await case.trigger()
        await until(lambda: len(reports) == 6)
        assert case.status is State.FAIL
        case.state_transition_delay = 0.0
        await case.trigger()
        await until(lambda: len(reports) == 7)
        assert (case.status, case.consecutive_failures) == (State.DO_NOT_SHARE, 0)


async def test_9_a_suite_stalls_and_recovers(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 9: a case that is not executed for too long has stalled, until it is executed again."""

    async def run(self: Any) -> None:
        pass

    case = a_case(broker, tmp_path, run, warn_stalled_after=0.2)
    case.state_transition_delay = 0.0
    async with running(case, tmp_path) as reports:
        await until(lambda: case.status is State.STALL)
        await until(lambda: reports)
        assert reports[0].state is State.STALL
        assert "stalled" in (reports[0].error or "")
        await case.trigger()
        await until(lambda: case.status is State.DO_NOT_SHARE)


async def test_8_signals_that_were_there_before(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8: a signal may come before it is waited for, under a key of its own, and with a model."""
    seen: list[Any] = []

    async def run(self: Any) -> None:
        seen.append(await self.sig.wait(key=["order", 7], timeout=10))
        seen.append(await self.sig.wait(key=["order", 7], timeout=10))

    case = a_case(broker, tmp_path, run)
    with pytest.raises(AssertionError, match="key"):
        await case.sig.send("no key", force=True)
    with pytest.raises(RuntimeError, match="No test executing"):
        await case.sig.wait()
    async with running(case, tmp_path) as reports:
        await case.sig.send(Order("o7"), key=["order", 7], force=True)
        await until(lambda: len(case.app.signals))
        await case.trigger()
        await until(lambda: reports)
        assert seen == [Order("o7"), Order("o7")]


async def test_8_a_wait_has_one_deadline(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8 [Q]: other signals that come meanwhile do not make a wait end early."""

    async def run(self: Any) -> None:
        await self.sig.wait(timeout=0.4)

    case = a_case(broker, tmp_path, run)
    async with running(case, tmp_path) as reports:
        await case.trigger("t1")
        for number in range(40):
            await case.sig.send(number, key=f"other-{number}", force=True)
            await asyncio.sleep(0.005)
        assert not reports
        await case.sig.send("mine", key="t1", force=True)
        await until(lambda: reports)
        assert reports[0].state is State.DO_NOT_SHARE


async def test_9_a_test_that_waits_is_executed_again_after_a_restart(
    broker: str, tmp_path: Path
) -> None:
    """livecheck-sensors.md 8, 9: when LiveCheck stops, a waiting test is cancelled, unreported, and comes again."""
    began: list[str] = []

    async def run(self: Any) -> None:
        began.append(self.current_test.id)
        await self.sig.wait()

    case = a_case(broker, tmp_path, run)
    async with running(case, tmp_path) as reports:
        await case.trigger("t1")
        await until(lambda: began)
    assert (case.status, reports) == (State.INIT, [])
    async with running(case, tmp_path) as reports:
        await until(lambda: len(began) == 2)
        await case.sig.send(key="t1", force=True)
        await until(lambda: reports)
        assert reports[0].state is State.DO_NOT_SHARE


async def test_7_options_and_settings(broker: str) -> None:
    """livecheck-sensors.md 7: LiveCheck has the settings of its target, but for what is its own."""
    app = faust.App("shop", broker=broker, version=3, topic_partitions=5)
    assert app.livecheck is None
    livecheck = app.LiveCheck(bus_topic_name="mine", bus_concurrency=2)
    assert isinstance(livecheck, LiveCheck)
    assert app.livecheck is livecheck
    assert livecheck.conf.id == f"livecheck-{app.conf.id}" == "livecheck-shop-v3"
    assert livecheck.conf.topic_partitions == 5
    assert str(livecheck.conf.broker[0]) == str(app.conf.broker[0])
    assert livecheck.conf.web_port == 9999
    assert (livecheck.bus_topic_name, livecheck.test_topic_name) == ("mine", "livecheck")
    assert livecheck.report_topic_name == "livecheck-report"
    assert (livecheck.bus_concurrency, livecheck.test_concurrency) == (2, 100)
    assert livecheck.bus.get_topic_name() == "mine"


async def test_7_reports_can_be_off(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 7 [Q]: without `send_reports` nothing is reported."""

    async def run(self: Any) -> None:
        pass

    case = a_case(broker, tmp_path, run)
    case.app.send_reports = False
    async with running(case, tmp_path) as reports:
        await case.trigger()
        await until(lambda: case.status is State.DO_NOT_SHARE)
        await asyncio.sleep(0.1)
        assert not reports


async def test_7_unknown_names_are_logged(
    broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """livecheck-sensors.md 7: executions and signals of cases that are not here are errors in the log."""

    async def run(self: Any) -> None:
        pass

    case = a_case(broker, tmp_path, run)
    async with running(case, tmp_path):
        name, case.name = case.name, "gone.case"
        await case.sig.send(key="x", force=True)
        await case.trigger()
        case.name = name
        with caplog.at_level(logging.ERROR):
            await until(lambda: len(caplog.records) >= 2)
    assert "gone.case" in caplog.text


def test_8_names_and_signals() -> None:
    """livecheck-sensors.md 7, 8: cases are named after their class, signals after attributes, in order, also as text."""
    livecheck = faust.App("names", broker="memory://").LiveCheck(origin="proj.app:app")

    class Base:
        first: Signal[int]

    @livecheck.case(realtime_logs=True, frequency=timedelta(minutes=1))
    class named(Base):
        """Nothing but annotations."""

        second: "Signal[Order]"  # noqa: UP037
        third: Signal[Any]
        not_one: int

    assert isinstance(named, Case)
    assert named.name == f"{__name__}.test_8_names_and_signals.<locals>.named"
    assert [(one.name, one.index) for one in named.signals.values()] == [
        ("first", 1),
        ("second", 2),
        ("third", 3),
    ]
    assert named.first.case is named
    assert livecheck.cases == {named.name: named}
    assert named.realtime_logs
    assert named.frequency == 60.0
    main = livecheck.case()(type("case", (), {"__module__": "__main__", "__qualname__": "case"}))
    assert main.name == "proj.app.case"
    with pytest.raises(ValueError, match="already"):
        livecheck.case(name=named.name)(type("again", (), {}))
    with pytest.raises(ValueError, match="probability"):
        livecheck.case(probability=50)(type("percent", (), {}))


async def test_8_fake_requests_by_the_leader(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8: the leader calls `make_fake_request` at the frequency; latencies are kept."""
    app = faust.App("fake", broker=broker, web_enabled=False, datadir=tmp_path / "fake")

    class Faked(Case):
        async def make_fake_request(self) -> None:
            await self.trigger()

        async def run(self) -> None:
            pass

    case: Any = app.LiveCheck().case(frequency=0.05)(Faked)
    async with running(case, tmp_path):
        await until(lambda: len(case.runtime_history) >= 3)
        case.sample()
        assert case.frequency_avg is not None
        assert case.latency_avg == pytest.approx(case.frequency_avg - 0.05, abs=0.05)
        assert case.runtime_avg is not None


@asynccontextmanager
async def a_service(answers: list[int]) -> AsyncIterator[str]:
    """A service that answers with these status codes, then with 200 and the id of the test it was called in."""

    async def answer(request: web.Request) -> web.Response:
        if answers:
            return web.Response(status=answers.pop(0))
        return web.Response(text=request.headers.get("LiveCheck-Test-Id", "-"))

    application = web.Application()
    application.router.add_route("*", "/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        await runner.cleanup()


async def test_8_requests_are_sent_again(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8: requests that fail are sent again; at last the suite fails and None is returned."""
    found: list[Any] = []

    async def run(self: Any, url: str) -> None:
        found.extend([await self.get_url(url), await self.post_url(url)])

    case = a_case(
        broker,
        tmp_path,
        run,
        url_error_retries=2,
        url_error_delay_min=0.001,
        url_error_delay_max=0.01,
    )
    async with running(case, tmp_path) as reports:
        async with a_service([503, 404]) as url:
            await case.trigger("t1", url)
            await until(lambda: reports)
        assert found == [b"t1", b"t1"]
        await case.trigger("t2", url)  # nobody is there any more
        await until(lambda: len(reports) == 3)
        assert found[2:] == [None, None]
        assert [one.state for one in reports if one.test is None] == [State.FAIL]
        assert "sent 3 times" in (reports[1].error or "")


async def test_8_requests_have_timeouts(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 8: ``url_timeout_total`` and ``url_timeout_connect`` bound a request; None is any time."""
    seen: list[tuple[float | None, float | None]] = []

    async def run(self: Any, url: str) -> None:
        assert await self.get_url(url) is None
        seen.append((self.url_timeout_total, self.url_timeout_connect))

    assert (Case.url_timeout_total, Case.url_timeout_connect) == (300.0, None)
    case = a_case(
        broker,
        tmp_path,
        run,
        url_error_retries=0,
        url_timeout_total=0.2,
        url_timeout_connect=0.1,
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        async with running(case, tmp_path) as reports:
            await case.trigger("t1", f"http://127.0.0.1:{silent.getsockname()[1]}/")
            await until(lambda: reports)
    assert seen == [(0.2, 0.1)]


async def test_10_http_carries_the_test(broker: str, tmp_path: Path) -> None:
    """livecheck-sensors.md 10: requests carry the current test, and a view that answers is part of it."""
    app = faust.App(
        "site",
        broker=broker,
        datadir=tmp_path / "site",
        env={},
        web_port=free_port(),
        web_bind="127.0.0.1",
    )

    class Nothing(Case):
        async def run(self) -> None:
            pass

    case: Any = app.LiveCheck(web_enabled=False).case(probability=1.0)(Nothing)

    @app.page("/test/")
    async def which(view: Any, request: Any) -> Any:
        test = current_test()
        return view.json({"id": None if test is None else test.id})

    url = f"http://127.0.0.1:{app.conf.web_port}/test/"
    async with running(case, tmp_path, app), aiohttp.ClientSession() as session:

        async def ask(**headers: str) -> Any:
            async with session.get(url, headers=headers) as response:
                return (await response.json())["id"]

        assert await ask() is None
        async with case.maybe_trigger("abc"):
            assert await ask() == "abc"
        assert await ask() is None
        assert await ask(**{"LiveCheck-Test-Id": "x", "LiveCheck-Test-Expires": "junk"}) is None


def test_10_executions_in_headers() -> None:
    """livecheck-sensors.md 10: an execution survives headers, as text or bytes, without its arguments."""
    headers = {
        "LiveCheck-Test-Id": "0123456789abcdefghi",
        "LiveCheck-Test-Name": "proj.test_order",
        "LiveCheck-Test-Timestamp": "2026-01-02T03:04:05+00:00",
        "LiveCheck-Test-Expires": "2026-01-02T06:04:05+00:00",
    }
    test = TestExecution.from_headers(headers)
    assert test is not None
    assert test == TestExecution.from_headers({k: v.encode() for k, v in headers.items()})
    assert test.as_headers() == headers
    assert test.ident == "proj.test_order:0123456789abcdefghi"
    assert test.shortident == "test_order:0123456789abcde[...]"
    assert test.human_date == "2026-01-02 03:04:05+00:00"
    assert test.is_expired
    assert not test.was_issued_today
    assert TestExecution.from_headers({}) is None
    assert TestExecution.loads(test.dumps(serializer="json"), serializer="json") == test
