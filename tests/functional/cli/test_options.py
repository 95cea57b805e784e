"""Global options, environment variables, output, and what commands get (worker-cli.md 2, 4, 5 and 6)."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner
from yarl import URL

import faust
from faust import cli
from faust.cli.state import State
from faust.cli.state import cli as group
from faust.exceptions import FaustWarning
from tests.support.processes import start_python
from tests.test_imports import loaded_by

GLOBAL = {
    "--app",
    "--quiet",
    "--debug",
    "--workdir",
    "--datadir",
    "--json",
    "--loop",
    "--logfile",
    "--loglevel",
    "--blocking-timeout",
    "--console-port",
    "--version",
    "--no-color",
}
COMMANDS = {
    "agents",
    "clean-versions",
    "completion",
    "livecheck",
    "model",
    "models",
    "reset",
    "send",
    "tables",
    "worker",
}


@pytest.fixture(autouse=True)
def _forget_commands() -> Iterator[None]:
    """Commands are registered for the whole process: forget those of the test."""
    before = dict(group.commands)
    yield
    group.commands.clear()
    group.commands.update(before)


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    """An app on a broker of its own."""
    url = f"memory://{uuid.uuid4().hex}"
    app = shop(tmp_path, origin="shop", broker=url, topic_partitions=1)
    app.Table("counts", default=int)
    return app


def shop(tmp_path: Path, **options: Any) -> faust.App:
    """Make an app whose worker is not run."""
    options.setdefault("broker", "memory://")
    return faust.App("shop", Worker=NotStarted, datadir=tmp_path, env={}, **options)


def call(app: Any, name: str, *args: str, **options: Any) -> tuple[int, str, str]:
    """Run a command, return status and what was printed."""
    status, out, err = cli.call_command(name, args, app=app, **options)
    return status, out.getvalue(), err.getvalue()  # type: ignore[attr-defined]


class NotStarted(faust.Worker):
    """A worker that is made, and not run."""

    def execute_from_commandline(self) -> NoReturn:
        """Give the loop back."""
        assert self.loop is not None
        self.loop.close()
        raise SystemExit(0)


@pytest.fixture(autouse=True)
def _show() -> None:
    """Declare a command that prints attributes of itself as JSON."""

    class show(cli.Command):
        options = (cli.argument("names", nargs=-1),)

        async def run(self, *, names: tuple[str, ...]) -> None:
            self.say(json.dumps({name: getattr(self, name) for name in names}, default=str))


def show(*options: str, names: tuple[str, ...]) -> Any:
    """Run the command with global options."""
    out = io.StringIO()
    state = State(stdout=out, side_effects=False)
    with pytest.raises(SystemExit) as caught:
        group.main([*options, "show", *names], "faust", obj=state, standalone_mode=False)
    assert caught.value.code == 0
    return json.loads(out.getvalue())


def test_every_option_and_command_is_there() -> None:
    """worker-cli.md 2: the documented options and commands are in the help."""
    options = {name for parameter in group.params for name in parameter.opts}
    context = click.Context(group)
    assert options >= GLOBAL
    assert set(group.list_commands(context)) >= COMMANDS
    short = {name for name in options if len(name) == 2}
    assert short == {"-A", "-q", "-W", "-D", "-L", "-f", "-l"}
    own = {name for parameter in group.commands["worker"].params for name in parameter.opts}
    assert own >= {"--with-web", "--web-port", "-p", "--web-transport", "--web-bind", "-b"}
    assert own >= {"--web-host", "-h", "--logfile", "-f", "--loglevel", "-l", "--blocking-timeout"}


@pytest.mark.filterwarnings("ignore")  # what aiomonitor imports
def test_options_reach_the_command(tmp_path: Path) -> None:
    """worker-cli.md 6: a command has the global options as attributes; levels are known in any case."""
    wanted = ("quiet", "debug", "json", "loglevel", "logfile", "console_port", "blocking_timeout")
    assert show(names=wanted) == {
        "quiet": False,
        "debug": False,
        "json": False,
        "loglevel": "warn",
        "logfile": None,
        "console_port": 50101,
        "blocking_timeout": None,
    }
    given = ["--debug", "--json", "-l", "INFO", "-f", str(tmp_path / "x.log")]
    given += ["--console-port", "7001", "--blocking-timeout", "1.5"]
    assert show(*given, names=wanted) == {
        "quiet": False,
        "debug": True,
        "json": True,
        "loglevel": "info",
        "logfile": str(tmp_path / "x.log"),
        "console_port": 7001,
        "blocking_timeout": 1.5,
    }


@pytest.mark.parametrize(
    ("variable", "value", "attribute", "seen"),
    [
        ("FAUST_DEBUG", "0", "debug", True),
        ("F_DEBUG", "1", "debug", True),
        ("F_DATADIR", "there", "datadir", "there"),
        ("FAUST_DATADIR", "there", "datadir", "there"),
        ("F_CONSOLE_PORT", "7002", "console_port", 7002),
        ("FAUST_CONSOLE_PORT", "7002", "console_port", 7002),
    ],
)
@pytest.mark.filterwarnings("ignore")  # what aiomonitor imports
def test_variables_are_defaults(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, attribute: str, seen: Any
) -> None:
    """settings.md 3 and worker-cli.md 2: FAUST_X and F_X set the default of an option."""
    for name in ("DEBUG", "DATADIR", "CONSOLE_PORT", "WORKDIR"):
        monkeypatch.delenv(f"FAUST_{name}", raising=False)
        monkeypatch.delenv(f"F_{name}", raising=False)
    monkeypatch.setenv(variable, value)
    assert show(names=(attribute,))[attribute] == seen


@pytest.mark.filterwarnings("ignore")  # what aiomonitor imports
def test_switches_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """worker-cli.md 2: --no-debug wins over the variable, and the last one of -q and --no-quiet counts."""
    monkeypatch.setenv("FAUST_DEBUG", "1")
    assert show(names=("debug",)) == {"debug": True}
    assert show("--no-debug", names=("debug",)) == {"debug": False}
    assert show("-q", "--no-quiet", names=("quiet",)) == {"quiet": False}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--loglevel", "loud", "models"], "'loud' is not one of"),
        (["--console-port", "0", "models"], "0 is not in the range 1<=x<=65535"),
        (["--loop", "gevent", "models"], "'gevent' is not one of"),
        (["--loop", "eventlet", "models"], "eventlet is not supported"),
        (["--workdir", "/no/such/place", "models"], "does not exist"),
        (["nope"], "No such command 'nope'"),
    ],
)
def test_wrong_options_are_usage_errors(args: list[str], words: str) -> None:
    """worker-cli.md 2: a value that cannot be is a usage error, with status 2."""
    result = CliRunner().invoke(group, args, obj=State(side_effects=False))
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_the_console_port_needs_the_console(app: faust.App) -> None:
    """--console-port without --debug is said to have no effect, and the worker starts."""
    words = "--console-port: no console without --debug"
    _, _, err = call(app, "worker", "--console-port", "7001", "--without-web")
    assert words in err
    for more in ({"debug": True}, {}):
        args = ["--console-port", "7001"] if more else []
        assert words not in call(app, "worker", "--without-web", *args, **more)[2]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--without-web"], {"web_enabled": False}),
        (["--with-web"], {"web_enabled": True}),
        (["-p", "7003"], {"web_port": 7003, "canonical_url": "http://here:7003"}),
        (["-h", "there"], {"web_host": "there", "canonical_url": "http://there:6066"}),
        (["-b", "127.0.0.1"], {"web_bind": "127.0.0.1"}),
        (["--log-format", "json"], {"worker_log_format": "json"}),
        (["--web-transport", "unix:///tmp/x.sock"], {"web_transport": URL("unix:///tmp/x.sock")}),
    ],
)
def test_options_of_the_worker(
    tmp_path: Path, options: list[str], settings: dict[str, Any]
) -> None:
    """worker-cli.md 5: each sets its setting; what is not given leaves the app's own (Q)."""
    app = shop(tmp_path, web_host="here", web_port=6066)
    assert call(app, "worker", *options)[0] == 0
    seen = {name: getattr(app.conf, name) for name in settings}
    assert {name: str(value) for name, value in seen.items()} == {
        name: str(value) for name, value in settings.items()
    }
    app = shop(tmp_path, web_enabled=False)
    assert call(app, "worker")[0] == 0
    assert app.conf.web_enabled is False


def test_the_banner(tmp_path: Path) -> None:
    """worker-cli.md 5: one row per thing, URLs as one writes them, and no password."""
    app = shop(
        tmp_path, broker="kafka://ann:secret@one:9092;two", store="memory://", web_host="here"
    )
    with pytest.warns(FaustWarning, match="broker_credentials"):
        status, out, _ = call(app, "worker", "-l", "info")
    assert status == 0
    rows = [line.strip("| ").split(None, 1) for line in out.splitlines()[1:-1]]
    shown = {row[0]: row[1].strip() if len(row) > 1 else "" for row in rows}
    assert "secret" not in out
    assert shown["id"] == "shop"
    assert shown["store"] == "memory://"
    assert shown["log"] == "-stderr- (info)"
    assert shown["pid"] == str(os.getpid())
    assert shown["datadir"] == str(tmp_path)
    assert "kafka://" in out
    assert "@one:9092, kafka://two" in out
    assert "URL(" not in out
    assert "http://" in shown["web"] or "aiohttp=" in shown["web"]
    assert call(app, "worker", quiet=True)[1] == ""
    app = shop(tmp_path, broker="local:///x")
    assert "  local:///x " in call(app, "worker")[1]


@pytest.mark.parametrize("args", [(), ("-p", "7443")])
def test_the_banner_of_a_server_with_tls(tmp_path: Path, args: tuple[str, ...]) -> None:
    """web.md 1: with ``web_ssl_context`` the banner, and what other workers are told, is https."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    app = shop(tmp_path, web_ssl_context=context)
    _, out, _ = call(app, "worker", *args)
    port = args[1] if args else 6066
    assert f" https://localhost:{port}/ " in out
    assert str(app.conf.canonical_url) == f"https://{app.conf.web_host}:{port}"


def test_the_banner_of_a_server_on_a_socket_file(tmp_path: Path) -> None:
    """web.md 1: with ``--web-transport unix://`` the banner names the file, not a port where nobody listens."""
    app = shop(tmp_path)
    _, out, _ = call(app, "worker", "--web-transport", "unix:///run/shop.sock")
    assert re.search(r"\| web +unix:///run/shop.sock ", out)
    assert "localhost:6066" not in out


def test_livecheck_needs_one(app: faust.App) -> None:
    """worker-cli.md 5: an app without LiveCheck is a usage error."""
    status, _, err = call(app, "livecheck")
    assert status == 2
    assert "is not associated with LiveCheck" in err


def test_livecheck_starts_the_checker(tmp_path: Path) -> None:
    """worker-cli.md 5: the app that tests the other one runs, with the options of the worker."""
    (tmp_path / "checked.py").write_text(
        "import faust\nfrom faust.livecheck import Case\n"
        "app = faust.App('checked', topic_partitions=1)\n"
        "livecheck = app.LiveCheck()\n"
        "@livecheck.case()\nclass test_order(Case):\n    async def run(self): ...\n"
    )
    variables = {"BROKER_URL": "memory://", "APP_DATADIR": str(tmp_path / "data")}
    arguments = ("-A", "checked", "livecheck", "--without-web")
    with start_python(None, *arguments, module="faust", cwd=tmp_path, env=variables) as process:
        lines: list[str] = []
        while " OK ^" not in lines:
            lines.append(process.read_line())
        process.terminate()
        assert process.wait(20) == 0
    assert any(line.split()[1:3] == ["id", "livecheck-checked"] for line in lines)
    assert process.errors == []


# -- what commands do


def test_reset_deletes_the_local_state(app: faust.App) -> None:
    """worker-cli.md 5: one line per table."""
    status, out, _ = call(app, "reset")
    assert (status, out) == (0, "Removing database for table counts...\n")


@pytest.mark.filterwarnings("ignore")  # what aiomonitor imports
def test_send_prints_where_messages_went(app: faust.App) -> None:
    """worker-cli.md 5: topic by name, repeated; metadata as JSON; --debug says more; serializers are used (Q)."""
    app.topic("posts", partitions=1)

    @app.command()
    async def declare(self: Any) -> None:
        await self.app.topic("posts", partitions=1).declare()

    assert call(app, "declare")[0] == 0
    status, out, err = call(app, "send", "posts", "hello", "-k", "ann", "-r", "2")
    assert status == 0, err
    sent = [json.loads(line) for line in out.splitlines()]
    assert [one["offset"] for one in sent] == [0, 1]
    assert sent[0].keys() == {
        "topic",
        "partition",
        "topic_partition",
        "offset",
        "timestamp",
        "timestamp_type",
    }
    assert sent[0]["topic_partition"] == ["posts", 0]
    status, out, _ = call(app, "send", "posts", "5", "-V", "int", debug=True)
    assert out.startswith("#-- k=None v=5 -> ")
    longer = (
        "--key",
        "7",
        "--key-type",
        "int",
        "--key-serializer",
        "json",
        "--value-type",
        "int",
        "--partition",
        "0",
    )
    status, out, err = call(app, "send", "posts", "5", *longer, debug=True)
    assert (status, out.startswith("#-- k=7 v=5 -> ")) == (0, True), err
    codecs = ("--key", "8", "--key-serializer", "json", "--value-serializer", "json")
    latency = ("--repeat", "3", "--min-latency", "0.2", "--max-latency", "0.3")
    began = time.monotonic()
    status, out, err = call(app, "send", "posts", "{}", *codecs, *latency)
    assert (status, len(out.splitlines())) == (0, 3), err
    assert time.monotonic() - began > 0.4  # after each but the first
    status, _, err = call(app, "send", "@", "x")
    assert "Missing topic/@agent name" in err
    assert status == 1
    status, _, err = call(app, "send", "@nobody", "x")
    assert (status, "cannot find 'nobody'" in err) == (1, True)
    for codec in ("--key-serializer", "--value-serializer"):
        status, _, err = call(app, "send", "posts", "{}", "-k", "1", codec, "nope")
        assert (status, err.count("\n")) == (1, 1), err
        assert err.startswith("Error: there is no codec 'nope'")


def test_tabulate_without_headers(app: faust.App) -> None:
    """worker-cli.md 4: JSON is a list of lists without headers; empty lists print the header only."""

    class lists(cli.AppCommand):
        async def run(self) -> None:
            self.say(self.tabulate([("a", 1)]))
            self.say(self.tabulate([], headers=["name"], title="None"))

    assert call(app, "lists", json=True)[1] == '[["a",1]]\n[]\n'
    assert call(app, "lists")[1].splitlines() == [
        "+---+---+",
        "| a | 1 |",
        "+---+---+",
        "+None--+",
        "| name |",
        "+------+",
    ]


def test_a_daemon_goes_on_until_a_signal(tmp_path: Path) -> None:
    """worker-cli.md 6: with daemon the process stays after run."""
    program = tmp_path / "watcher.py"
    program.write_text(
        "import faust\n"
        f"app = faust.App('x', broker='memory://', env={{}}, datadir={str(tmp_path)!r})\n"
        "@app.command(daemon=True)\n"
        "async def watch(self):\n    self.say('watching')\n"
        "if __name__ == '__main__':\n    app.main()\n"
    )
    with start_python(program, "watch") as process:
        assert process.read_line() == "watching"
        assert process.returncode is None
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("number", "caught", "status"),
    [(signal.SIGINT, False, 130), (signal.SIGTERM, False, 143), (signal.SIGTERM, True, 0)],
)
def test_work_that_is_cut_off_is_not_done(
    tmp_path: Path, number: int, caught: bool, status: int
) -> None:
    """A command that a signal interrupts does not say 0, unless it takes that for its end; it cleans up."""
    program = tmp_path / "copier.py"
    program.write_text(
        "import asyncio, contextlib, faust\n"
        f"app = faust.App('x', broker='memory://', env={{}}, datadir={str(tmp_path)!r})\n"
        "@app.command()\n"
        "async def copy(self):\n"
        f"    with contextlib.suppress({'asyncio.CancelledError' if caught else ''}):\n"
        "        try:\n"
        "            self.say('copying')\n"
        "            await asyncio.sleep(3600)\n"
        "        finally:\n"
        "            self.say('clean')\n"
        "app.main()\n"
    )
    with start_python(program, "copy") as process:
        assert process.read_line() == "copying"
        process.send_signal(number)
        assert process.wait(20) == status
        assert process.lines() == ["clean"]


def test_origin_of_a_script_in_packages(tmp_path: Path) -> None:
    """worker-cli.md 3 [Q]: a script in nested packages has its whole dotted name, outermost first."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for place in (tmp_path / "a", folder):
        (place / "__init__.py").touch()
    (folder / "prog.py").write_text(
        "import faust\napp = faust.App('x', broker='memory://', env={})\n"
        "@app.command()\nasync def origin(self):\n    self.say(self.app.conf.origin)\n"
        "if __name__ == '__main__':\n    app.main()\n"
    )
    done = subprocess.run(
        [sys.executable, str(folder / "prog.py"), "origin"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.stdout == "a.b.prog\n"


def test_workdir_and_datadir(tmp_path: Path) -> None:
    """worker-cli.md 2: --workdir is entered before the app is imported; -D is the default of datadir, also for it."""
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "inner.py").write_text(
        "import faust, os\napp = faust.App('x', broker='memory://')\n"
        "@app.command()\nasync def where(self):\n"
        "    self.say(f'{os.getcwd()} {self.app.conf.datadir} {self.workdir}')\n"
    )
    arguments = ["-W", str(tmp_path / "proj"), "-D", "data here", "-A", "inner", "where"]
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("FAUST_", "F_", "APP_"))}
    done = subprocess.run(
        [sys.executable, "-m", "faust", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
        env=variables,
    )
    assert done.stdout == f"{tmp_path / 'proj'} data here {tmp_path / 'proj'}\n"


# -- how fast the program starts


def test_help_loads_nothing_heavy() -> None:
    """Issue 7: the help loads neither clients, servers, stores, nor what draws bars."""
    loaded = loaded_by("import faust.cli.main")
    assert "click" in loaded
    assert loaded.isdisjoint({"aiokafka", "aiohttp", "rocksdict", "sqlite3", "rich", "uvloop"})


def cpu_of(*arguments: str) -> float:
    """Return the least processor time, in seconds, of some runs of Python."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_help_costs_little_more_than_the_import() -> None:
    """Issue 7: `faust --help` costs hardly more than `import faust` (300 ms and 220 ms on a quiet machine)."""
    assert cpu_of("-m", "faust", "--help") < 2 * cpu_of("-c", "import faust")
