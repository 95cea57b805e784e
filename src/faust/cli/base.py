"""Commands: how they are declared and run.

A command is a class; defining it registers it with the one group of the process, so the commands of
an imported application appear beside the built-in ones.

Mistakes of users (a wrong ``-A``, an unknown setting, a broker that is not there) end in one
sentence on standard error and a status that is not 0; faults of programs end in a traceback.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import inspect
import re
import traceback
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import IO, Any, ClassVar, NoReturn, cast

import click
import mode
from click import UsageError, argument
from mode.utils.imports import cwd_in_path, symbol_by_name

from faust.app.base import App
from faust.cli.finding import find_app, friendly
from faust.cli.progress import Progress
from faust.cli.state import State, cli, new_loop, option, state_of
from faust.exceptions import FaustError
from faust.serializers.codecs import UnknownCodec
from faust.utils import json
from faust.utils.terminal import Table, table
from faust.worker.process import Process

__all__ = [
    "AppCommand",
    "Command",
    "UsageError",
    "app_command",
    "argument",
    "find_app",
    "option",
]

Decorator = Callable[[Any], Any]


class CommandProcess(Process):
    """The process of a command: no banner, and errors as a command line tool tells them."""

    def execute_from_commandline(self) -> NoReturn:
        """Run until the work is done, then raise `SystemExit`; work that a signal has cut off is not done: 128 + number."""
        try:
            super().execute_from_commandline()
        except SystemExit as exc:
            cut_off = any(isinstance(work, _Work) and work.cut_off for work in self.services)
            if not exc.code and cut_off and self._signal is not None:
                raise SystemExit(128 + self._signal) from None
            raise

    def on_failure(self, exc: BaseException, sentence: str | None) -> None:
        """Print one sentence, or a traceback."""
        if isinstance(exc, click.ClickException):
            sentence = exc.format_message()
        elif sentence is None and isinstance(exc, FaustError | UnknownCodec):
            sentence = str(exc)
        if sentence is not None:
            self.stderr.write(f"Error: {sentence}\n")
        elif not isinstance(exc, BrokenPipeError):  # who read us has read enough
            lines = traceback.format_exception(exc)
            self.stderr.write("".join(lines))


class _Work(mode.Service):
    """The coroutine of a command as a service: started means done, stopped means cancelled."""

    mundane_level = "debug"

    def __init__(self, work: Coroutine[Any, Any, Any], name: str, **options: Any) -> None:
        self._work = work
        self._name = name
        self._task: asyncio.Task[Any] | None = None
        self._done = asyncio.Event()
        self.cut_off: bool = False
        super().__init__(**options)

    def _repr_name(self) -> str:
        return self._name

    async def on_start(self) -> None:
        """Do the work, in the task that starts us: it may end the process with `SystemExit`."""
        self._task = asyncio.current_task()
        try:
            await self._work
        except asyncio.CancelledError:
            if not self.should_stop:
                raise
            self.cut_off = True
        finally:
            self._done.set()

    async def on_stop(self) -> None:
        """Interrupt the work, and let it clean up."""
        if self._task is None:
            self.cut_off = True
            self._work.close()
        elif not self._done.is_set():
            self._task.cancel()
            await self._done.wait()


class _ClickCommand(click.Command):
    """Says where an option belongs that was given to the command instead of to the program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            name, program = exc.option_name, ctx.find_root()
            if any(name in [*one.opts, *one.secondary_opts] for one in program.command.params):
                raise click.NoSuchOption(
                    name,
                    f"{exc.message.rstrip('.')}. It is an option of the program, and stands before the command: "
                    f"{program.info_name} {name} ... {ctx.info_name}",
                    ctx=ctx,
                ) from None
            raise


class Command:
    """A command that needs no application.

    Override ``run``, a coroutine function that takes the parameters; or ``__call__`` for a command
    that needs no event loop. The docstring is the help.

    Attributes:
        abstract: Set it in the class body: the class is a base of commands and none itself.
        options: What the command takes: `option` and `argument`.
        daemon: Go on after ``run`` until a signal comes.
        redirect_stdouts: Send prints to the log.
        redirect_stdouts_level: Their level.
        group: Where the command is registered.
    """

    abstract: ClassVar[bool] = True
    options: ClassVar[Sequence[Decorator]] = ()
    daemon: ClassVar[bool] = False
    redirect_stdouts: ClassVar[bool] = False
    redirect_stdouts_level: ClassVar[str | int | None] = None
    group: ClassVar[click.Group] = cli

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__dict__.get("abstract", False):
            cls.abstract = False
            cls.group.add_command(cls._as_click())

    @classmethod
    def _as_click(cls) -> click.Command:
        @click.pass_context
        def invoke(ctx: click.Context, /, *args: Any, **kwargs: Any) -> Any:
            with friendly():
                command = cls(ctx, *args, **kwargs)
                return command(*command.args, **command.kwargs)

        callback: Any = invoke
        for decorate in reversed(cls.options):
            callback = decorate(callback)
        help_text = inspect.cleandoc(cls.__doc__ or "")
        name = _command_name(cls.__name__)
        return click.command(name, cls=_ClickCommand, help=help_text)(callback)

    def __init__(self, ctx: click.Context, *args: Any, **kwargs: Any) -> None:
        self.ctx = ctx
        self.args = args
        self.kwargs = kwargs
        self.state: State = state_of(ctx)
        self.prog_name: str = ctx.find_root().command_path
        state = self.state
        self.quiet: bool = state.quiet
        self.debug: bool = state.debug
        self.workdir: str | None = state.workdir
        self.datadir: str | None = state.datadir
        self.json: bool = state.json
        self.logfile: str | None = state.logfile
        self.loglevel: str = state.loglevel
        self.blocking_timeout: float | None = state.blocking_timeout
        self.console_port: int = state.console_port
        self.stdout: IO[str] = state.stdout
        self.stderr: IO[str] = state.stderr

    # -- running

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; override this."""
        raise NotImplementedError(f"command {type(self).__name__} has no run method")

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work and clean up."""
        try:
            return await self.run(*args, **kwargs)
        finally:
            await self.on_stop()

    async def on_stop(self) -> None:
        """Clean up; called when ``run`` has ended, however it has."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; ends in `SystemExit`."""
        self.run_using_worker(*args, **kwargs)

    def run_using_worker(self, *args: Any, **kwargs: Any) -> None:
        """Run the coroutine in a process of its own kind, with signals and log; `SystemExit`."""
        loop = new_loop(self.state.loop)
        service = self.as_service(loop, *args, **kwargs)
        worker = self.worker_for_service(service, loop)
        self.on_worker_created(worker)
        worker.execute_from_commandline()

    def as_service(
        self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any
    ) -> mode.ServiceT:
        """Return the work as a service."""
        return _Work(self.execute(*args, **kwargs), type(self).__name__, loop=loop)

    def worker_for_service(
        self, service: mode.ServiceT, loop: asyncio.AbstractEventLoop
    ) -> Process:
        """Return the process for the service."""
        return CommandProcess(
            service,
            loop=loop,
            daemon=self.daemon,
            quiet=self.quiet,
            debug=self.debug,
            loglevel=self.loglevel,
            logfile=self.logfile,
            stdout=self.stdout,
            stderr=self.stderr,
            console_port=self.console_port,
            redirect_stdouts=self.redirect_stdouts,
            redirect_stdouts_level=self.redirect_stdouts_level,
        )

    def on_worker_created(self, worker: Process) -> None:
        """Look at the process before it starts."""

    # -- talking

    def say(self, message: str, file: IO[str] | None = None, err: IO[str] | None = None) -> None:
        """Print to standard output, unless the user wants quiet."""
        if not self.quiet:
            target = file or err or self.stdout
            try:
                print(message, file=target)
            except UnicodeEncodeError:
                print(message.encode("ascii", "replace").decode(), file=target)

    def carp(self, text: str) -> None:
        """Print what is of interest only with ``--debug``."""
        if self.debug:
            self.say(f"#-- {text}")

    def progress(self, title: str, total: int | None = None) -> Progress:
        """Return a context in which ``advance()`` shows on standard error how far the work is."""
        return Progress(title, total, self.stderr, quiet=self.quiet)

    def dumps(self, obj: Any) -> str:
        """Return *obj* as JSON."""
        return json.dumps(obj).decode()

    def table(
        self, data: Iterable[Sequence[Any]], headers: Sequence[str] = (), title: str = ""
    ) -> Table:
        """Return a table for the console."""
        return table(data, headers, title, file=self.stdout)

    def tabulate(
        self, data: Iterable[Sequence[Any]], headers: Sequence[str] = (), title: str = ""
    ) -> str:
        """Return rows as a table, or with ``--json`` as a list of objects (of lists without headers)."""
        if not self.json:
            return str(self.table(data, headers, title))
        rows = [list(row) for row in data]
        return self.dumps(
            [dict(zip(headers, row, strict=True)) for row in rows] if headers else rows
        )


class AppCommand(Command):
    """A command that works with the application named by ``-A``.

    Attributes:
        require_app: Whether the command needs one.
        app: The application.
        key_serializer: Value of an option of that name, else the app's setting.
        value_serializer: As key_serializer.
    """

    abstract: ClassVar[bool] = True
    require_app: ClassVar[bool] = True

    app: App

    def __init__(
        self,
        ctx: click.Context,
        *args: Any,
        key_serializer: Any = None,
        value_serializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(ctx, *args, **kwargs)
        app = self.state.find_app()
        if app is None and self.require_app:
            raise UsageError("Need to specify app using -A parameter")
        self.app = cast("App", app)
        self.key_serializer: Any = key_serializer
        self.value_serializer: Any = value_serializer
        if app is not None:
            self.key_serializer = key_serializer or app.conf.key_serializer
            self.value_serializer = value_serializer or app.conf.value_serializer
            if self.blocking_timeout is None:
                self.blocking_timeout: float | None = app.conf.blocking_timeout

    async def on_stop(self) -> None:
        """Stop what the command has started of the app."""
        if self.app is not None:
            await _stop_app(self.app)

    # -- from text to things

    def to_key(self, typ: str | None, key: str | None) -> Any:
        """Return the key for a text: its bytes, or a model when there is a type."""
        return self.to_model(typ, key, self.key_serializer, key=True)

    def to_value(self, typ: str | None, value: str | None) -> Any:
        """Return the value for a text: its bytes, or a model when there is a type."""
        return self.to_model(typ, value, self.value_serializer)

    def to_model(
        self, typ: str | None, text: str | None, serializer: Any, *, key: bool = False
    ) -> Any:
        """Return what *text* means as a *typ* (name of a class) in the format *serializer*."""
        if text is None:
            return None
        data = text.encode()
        if not typ:
            return data
        model = getattr(builtins, typ, None) or self.import_relative_to_app(typ)
        registry = self.app.serializers
        loads = registry.loads_key if key else registry.loads_value
        return loads(model, data, serializer=serializer)

    def to_topic(self, entity: str) -> Any:
        """Return the topic of that name, or the channel of the agent named ``@name``.

        Raises:
            UsageError: there is no such agent.
        """
        if not entity.strip("@"):
            raise UsageError("Missing topic/@agent name")
        if not entity.startswith("@"):
            return self.app.topic(entity)
        agent = self._agent(entity[1:])
        return agent.channel

    def _agent(self, name: str) -> Any:
        agents = self.app.agents
        origin = (self.app.conf.origin or "").partition(":")[0]
        for full in (name, f"{origin}.{name}"):
            if full in agents:
                return agents[full]
        inside = [full for full in agents if full.endswith(f".{name}")]
        if len(inside) == 1:
            return agents[inside[0]]
        found = self.import_relative_to_app(name)
        if not hasattr(found, "channel"):
            known = ", ".join(f"@{self.abbreviate_fqdn(full)}" for full in sorted(agents))
            raise UsageError(f"{name!r} is not an agent. Agents of this app: {known or 'none'}")
        return found

    def import_relative_to_app(self, name: str) -> Any:
        """Import a name as given, or from ``{origin}.models``, or from the app's module.

        Raises:
            UsageError: it is in none of them.
        """
        origin = (self.app.conf.origin or "").partition(":")[0]
        tried = [name, f"{origin}.models.{name}", f"{origin}.{name}"] if origin else [name]
        with cwd_in_path():
            for path in tried:
                with contextlib.suppress(ImportError, AttributeError, ValueError):
                    return symbol_by_name(path)
        raise UsageError(f"cannot find {name!r}; looked for {', '.join(tried)}")

    def abbreviate_fqdn(self, name: str, *, prefix: str = "") -> str:
        """Shorten a dotted name that begins with the app's origin."""
        origin = self.app.conf.origin
        if origin and name.startswith(origin):
            name = name[len(origin) + 1 :]
        return f"{prefix}{name}"


async def _stop_app(app: App) -> None:
    """Stop the app, or what was started of it on demand, so that it could be started again."""
    if app.started:
        await app.stop()
        return
    await app.close_clients()
    app.service_reset()


def _command_name(name: str) -> str:
    """Name a command after a class or function: ``CleanVersions_command`` -> ``cleanversions``."""
    lowered = name.lower()
    return re.sub(r"_(command|cmd|group|grp)$", "", lowered).replace("_", "-")


def app_command(
    app: App, *options: Any, base: type[AppCommand] | None = None, **attributes: Any
) -> Callable[[Callable[..., Any]], type[AppCommand]]:
    """Make a command of the decorated coroutine function; see `faust.App.command`.

    A function gets the click parameters by name, and before them the command (``self``) if its first
    parameter is none of those; a function without any parameters is called bare.

    Raises:
        TypeError: it is not ``async``, or has options and takes nothing.
    """
    del app  # the command works with the app of the command line, as all of them do

    def decorate(fun: Callable[..., Any]) -> type[AppCommand]:
        name = getattr(fun, "__name__", repr(fun))
        if not inspect.iscoroutinefunction(fun):
            raise TypeError(f"command {name}: write it as `async def`")
        parameters = list(inspect.signature(fun).parameters.values())
        if options and not parameters:
            raise TypeError(f"command {name}: with options it takes `self` and what they give")
        takes_self = _takes_self(parameters, attributes.get("options", options))

        async def run(self: AppCommand, *args: Any, **kwargs: Any) -> Any:
            if not parameters:
                return await fun()
            return await (fun(self, *args, **kwargs) if takes_self else fun(*args, **kwargs))

        namespace = {
            "run": run,
            "options": options,
            "abstract": False,
            "__doc__": fun.__doc__,
            "__module__": fun.__module__,
            **attributes,
        }
        return cast("type[AppCommand]", type(name, (base or AppCommand,), namespace))

    return decorate


def _takes_self(parameters: Sequence[inspect.Parameter], options: Iterable[Any]) -> bool:
    """Say whether the first of *parameters* is for the command itself: it is not what an option gives."""
    if not parameters or parameters[0].kind in {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }:
        return False
    return parameters[0].name not in _names(options)


def _names(options: Iterable[Any]) -> set[str | None]:
    """Return the names under which click passes on what the options and arguments give."""

    def nothing() -> None: ...

    callback: Any = nothing
    for decorate in reversed(tuple(options)):
        callback = decorate(callback)
    given: list[click.Parameter] = getattr(callback, "__click_params__", [])
    return {one.name for one in given if one.expose_value}
