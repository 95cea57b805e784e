"""LiveCheck: an application that tests another one, while that one works.

There are two processes. The *target* (the tested application) triggers executions and tells signals as it works; what it
publishes goes through its own producer. The LiveCheck application reads both topics, and executes the tests. The target
pays nothing for events and requests outside of tests.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar, Self

from faust.app.base import App
from faust.app.clients import with_directory
from faust.channels import Channel
from faust.livecheck.case import Case as _Case
from faust.livecheck.case import Seconds
from faust.livecheck.exceptions import LiveCheckError
from faust.livecheck.locals import current_test
from faust.livecheck.models import (
    HEADER_TEST_ID,
    SignalEvent,
    TestExecution,
    TestReport,
)
from faust.livecheck.patches.aiohttp import livecheck_middleware, patch_all
from faust.livecheck.signals import BaseSignal, SignalBox
from faust.livecheck.signals import Signal as _Signal
from faust.topics.topic import Topic
from faust.utils.names import module_name

__all__ = ["LiveCheck"]

logger: logging.Logger = logging.getLogger(__name__)

MAIN = "__main__."


class LiveCheck(App):
    """An application that tests another one; made by `faust.App.LiveCheck`.

    Arguments:
        id: Name of the application.
        test_topic_name: Topic of executions; None: ``livecheck``.
        bus_topic_name: Topic of signals; None: ``livecheck-bus``.
        report_topic_name: Topic of reports; None: ``livecheck-report``.
        bus_concurrency: Signals resolved at the same time; None: 30.
        test_concurrency: Tests executed at the same time; None: 100.
        send_reports: Send reports to their topic; None: yes.
        options: Settings, and what `faust.App` takes.

    Attributes:
        cases: Case by name.
        signals: Signals that have come.
        target: The application that is tested; None: this was not made for one.
    """

    Signal: ClassVar[type[BaseSignal[Any]]] = _Signal
    Case: ClassVar[type[_Case]] = _Case

    test_topic_name: str = "livecheck"
    bus_topic_name: str = "livecheck-bus"
    report_topic_name: str = "livecheck-report"
    bus_concurrency: int = 30
    test_concurrency: int = 100
    send_reports: bool = True

    def __init__(
        self,
        id: str,
        *,
        test_topic_name: str | None = None,
        bus_topic_name: str | None = None,
        report_topic_name: str | None = None,
        bus_concurrency: int | None = None,
        test_concurrency: int | None = None,
        send_reports: bool | None = None,
        **options: Any,
    ) -> None:
        for name, value in {
            "test_topic_name": test_topic_name,
            "bus_topic_name": bus_topic_name,
            "report_topic_name": report_topic_name,
            "bus_concurrency": bus_concurrency,
            "test_concurrency": test_concurrency,
            "send_reports": send_reports,
        }.items():
            if value is not None:
                setattr(self, name, value)
        self.cases: dict[str, _Case] = {}
        self.signals: SignalBox = SignalBox()
        self.target: App | None = None
        self._test_agent: Any = None
        super().__init__(id, **options)
        patch_all()
        App.on_produce_message.connect(_add_headers)

    @classmethod
    def for_app(
        cls, app: App, *, prefix: str = "livecheck-", web_port: int = 9999, **options: Any
    ) -> Self:
        """Make the LiveCheck application of *app*, with the same settings; see `LiveCheck` for more *options*.

        Requests to *app* that belong to a test are seen as such; the settings of *app* are read.

        Arguments:
            app: The application to test.
            prefix: Comes before its id.
            web_port: Port of LiveCheck's web server.
            options: What is to be different.
        """
        settings = {name: value for name, value in app._options.items() if name != "canonical_url"}
        made = cls(
            f"{prefix}{app.conf.id}",
            # the id of the target tells its version
            **{**settings, "version": 1, "web_port": web_port, **options},
        )
        made._config = app._config
        vars(made)["Settings"] = app.Settings
        made.target = app
        app.web.add_middleware(livecheck_middleware)
        app.livecheck = made
        return made

    def finalize(self) -> None:
        """End the configuration; a broker in a directory of the target's is in that directory for both."""
        super().finalize()
        if self.target is not None:
            for name in ("broker_consumer", "broker_producer"):
                urls = [with_directory(url, self.target.conf) for url in getattr(self.conf, name)]
                self.conf.assign(name, urls, "the application that is tested")

    # -- topics

    @cached_property
    def bus(self) -> Topic[str, SignalEvent]:
        """Where signals travel."""
        return self.topic(self.bus_topic_name, key_type=str, value_type=SignalEvent, internal=True)

    @cached_property
    def pending_tests(self) -> Topic[str, TestExecution]:
        """Where executions wait."""
        return self.topic(
            self.test_topic_name, key_type=str, value_type=TestExecution, internal=True
        )

    @cached_property
    def reports(self) -> Topic[str, TestReport]:
        """Where reports go."""
        return self.topic(
            self.report_topic_name, key_type=str, value_type=TestReport, internal=True
        )

    async def publish(self, topic: Topic[str, Any], key: str | None, value: Any) -> None:
        """Send something to a topic of LiveCheck; in the process of the target through its producer."""
        to: Channel[Any] = topic
        if self.target is not None and not self.started:
            to = self.target.topic(
                topic.get_topic_name(), key_type=topic.key_type, value_type=topic.value_type
            )
        await to.send(key=key, value=value, force=True)

    async def post_report(self, report: TestReport) -> None:
        """Send a report to its topic, unless `send_reports` is off; override to do something else with it."""
        if self.send_reports:
            await self.publish(self.reports, report.test.id if report.test else None, report)

    # -- cases

    def case(
        self,
        *,
        name: str | None = None,
        probability: float | None = None,
        warn_stalled_after: Seconds | None = None,
        active: bool | None = None,
        test_expires: Seconds | None = None,
        frequency: Seconds | None = None,
        realtime_logs: bool | None = None,
        max_history: int | None = None,
        max_consecutive_failures: int | None = None,
        url_timeout_total: float | None = None,
        url_timeout_connect: float | None = None,
        url_error_retries: int | None = None,
        url_error_delay_min: float | None = None,
        url_error_delay_backoff: float | None = None,
        url_error_delay_max: float | None = None,
        base: type[_Case] | None = None,
    ) -> Callable[[type], Any]:
        """Make a case of the decorated class, which need not inherit from `Case`; it becomes the one instance.

        Attributes annotated with `Signal` become signals. The arguments are the attributes of `Case`; None: what the class
        says. Give *name* for another name than that of the class, *base* for another base than `Case`.

        Raises:
            RuntimeError: The class stands in an interactive session: nobody else could find it.
            ValueError: There is a case of that name.
        """
        options = dict(locals())
        for own in ("self", "name", "base"):
            del options[own]

        def decorate(cls: type) -> Any:
            case_class = cls
            if not issubclass(cls, _Case):
                body = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
                case_class = type(cls.__name__, (cls, base or self.Case), body)
            return self.add_case(
                case_class(
                    app=self,
                    name=self._case_name(name or f"{cls.__module__}.{cls.__qualname__}"),
                    signals=self._signals_of(cls),
                    beacon=self.beacon,
                    **options,
                )
            )

        return decorate

    def add_case(self, case: _Case) -> _Case:
        """Let this application test *case*.

        Raises:
            ValueError: There is a case of that name.
        """
        if case.name in self.cases:
            raise ValueError(f"{self._given_id}: there is a case {case.name!r} already")
        self.cases[case.name] = case
        self._extra_services.append(case)
        return case

    def _signals_of(self, cls: type) -> Iterator[BaseSignal[Any]]:
        """Make the signals that a class and its bases are annotated with."""
        found: dict[str, type[BaseSignal[Any]]] = {}
        for base in reversed(cls.__mro__):
            for name, annotation in _annotations(base).items():
                kind = _signal_class(annotation, base.__module__)
                if kind is not None:
                    found[name] = kind
        for index, (name, kind) in enumerate(found.items(), start=1):
            yield (self.Signal if kind is _Signal else kind)(name=name, index=index)

    def _case_name(self, name: str) -> str:
        """Let the module that is run have the name under which it is imported elsewhere."""
        if not name.startswith(MAIN):
            return name
        origin = (self.conf.origin or "").partition(":")[0] or module_name("__main__")
        if origin == "__main__":
            raise RuntimeError(
                f"LiveCheck cannot name the case {name}: give the app its module, App(..., origin='proj')"
            )
        return f"{origin}.{name.removeprefix(MAIN)}"

    @property
    def current_test(self) -> TestExecution | None:
        """The test that the running code is part of."""
        return current_test()

    # -- life

    async def on_start(self) -> None:
        """Read the bus and the executions."""
        if self._test_agent is None:
            bus: Any = self.agent(self.bus, name="livecheck-bus", concurrency=self.bus_concurrency)
            tests: Any = self.agent(
                self.pending_tests, name="livecheck-tests", concurrency=self.test_concurrency
            )
            bus(self._resolve_signals)
            self._test_agent = tests(self._execute_tests)
        await super().on_start()

    async def on_started(self) -> None:
        """Have the topic of reports, and start the cases."""
        if self.send_reports:
            await self.reports.maybe_declare()
        await super().on_started()

    async def on_stop(self) -> None:
        """Interrupt the tests; they are executed again at the next start."""
        if self._test_agent is not None:
            await self._test_agent.stop()
        await super().on_stop()

    async def _resolve_signals(self, stream: Any) -> None:
        async for event in stream:
            case = self._find(event.case_name)
            if case is not None:
                await case.resolve_signal(event.key, event)

    async def _execute_tests(self, stream: Any) -> None:
        async for test in stream:
            case = self._find(test.case_name)
            if case is not None:
                with suppress(LiveCheckError):  # logged, counted and reported
                    await case.execute(test)

    def _find(self, name: str) -> _Case | None:
        case = self.cases.get(self._case_name(name))
        if case is None:
            logger.error(
                "LiveCheck: there is no case %r here; known: %s",
                name,
                ", ".join(self.cases) or "none",
            )
        return case


def _add_headers(sender: Any, *, headers: Any = None, **_kwargs: Any) -> None:  # noqa: ARG001
    """Let the current test travel with a message."""
    test = current_test() if headers is not None else None
    if test is not None and all(name != HEADER_TEST_ID for name, _ in headers):
        headers.extend((name, value.encode()) for name, value in test.as_headers().items())


def _annotations(cls: type) -> dict[str, Any]:
    """Return the annotations of the body of a class, evaluated as far as they can be."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return dict(vars(cls).get("__annotations__", {}))


def _signal_class(annotation: Any, module: str) -> type[BaseSignal[Any]] | None:
    """Return the class of signals that an annotation, or its text, names; None: something else."""
    text = getattr(annotation, "__forward_arg__", annotation)
    if not isinstance(text, str):
        found = getattr(annotation, "__origin__", annotation)
        return found if isinstance(found, type) and issubclass(found, BaseSignal) else None
    name = text.strip("'\" ").partition("[")[0].strip()
    first, *rest = name.split(".")
    found = vars(sys.modules[module]).get(first) if module in sys.modules else None
    for part in rest:
        found = getattr(found, part, None)
    if (
        found is None and name.rpartition(".")[2] == "Signal"
    ):  # imported where we cannot look: in a function
        return _Signal
    return found if isinstance(found, type) and issubclass(found, BaseSignal) else None
