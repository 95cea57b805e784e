"""The command line: finding apps, listing, custom commands, and mistakes of users."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import faust
from faust import cli
from faust._version import __version__
from faust.cli.finding import AppMissing, ModuleMissing, find_app
from faust.cli.state import cli as group


@pytest.fixture(autouse=True)
def _forget_commands() -> Iterator[None]:
    """Commands are registered for the whole process: forget those of the test."""
    before = dict(group.commands)
    yield
    group.commands.clear()
    group.commands.update(before)


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    """An app with an agent, a local agent and a table, on a broker of its own."""
    app = faust.App(
        "shop", origin="shop", broker=f"memory://{uuid.uuid4().hex}", datadir=tmp_path, env={}
    )

    @app.agent(app.topic("posts"), name="shop.shuffle")
    async def shuffle(stream: Any) -> None:
        """Shuffle words."""

    @app.agent(app.topic("a", "b"), name="other.several")
    async def several(stream: Any) -> None: ...

    @app.agent(app.channel(), name="shop.local")
    async def local(stream: Any) -> None: ...

    app.Table("counts", default=int, help="Counts.")
    app.Table("nameless")
    return app


Call = Callable[..., tuple[int, str, str]]


def call(app: Any, name: str, *args: str, **options: Any) -> tuple[int, str, str]:
    """Run a command, return status and what was printed."""
    status, out, err = cli.call_command(name, args, app=app, **options)
    return status, out.getvalue(), err.getvalue()  # type: ignore[attr-defined]


# -- listings


AGENTS = """\
+Agents----------+-------+----------------+
| name           | topic | help           |
+----------------+-------+----------------+
| @other.several | a,b   | <N/A>          |
| @shuffle       | posts | Shuffle words. |
+----------------+-------+----------------+
"""


def test_agents_are_listed(app: faust.App) -> None:
    """Agents appear by name, without the origin, with what they read."""
    assert call(app, "agents") == (0, AGENTS, "")


def test_local_agents_are_listed_on_demand(app: faust.App) -> None:
    """Agents on channels have no topic."""
    status, out, _ = call(app, "agents", "--local")
    assert status == 0
    assert "| @local         | <LOCAL> | <N/A>" in out


def test_json_is_for_programs(app: faust.App) -> None:
    """With --json a table is a list of objects in compact form."""
    status, out, _ = call(app, "agents", json=True)
    assert status == 0
    assert out.startswith('[{"name":"@other.several","topic":"a,b","help":"<N/A>"},')


def test_tables_are_listed_in_order(app: faust.App) -> None:
    """Tables appear as they were declared; one without help says how to give it."""
    status, out, _ = call(app, "tables", json=True)
    assert status == 0
    assert json.loads(out) == [
        {"name": "counts", "help": "Counts."},
        {"name": "nameless", "help": 'Missing description: use Table(.., help="str")'},
    ]


def test_models_are_listed_and_shown(app: faust.App) -> None:
    """Models are listed with their docstrings, one is shown with its fields, others get a hint."""

    class Parcel(faust.Record, namespace="shop.Parcel"):
        """A parcel."""

        account: str
        items: list[int]
        note: str | None = None

    status, out, _ = call(app, "models", json=True)
    assert status == 0
    assert {"name": "Parcel", "help": "A parcel."} in json.loads(out)
    status, out, _ = call(app, "model", "Parcel", json=True)
    assert json.loads(out) == [
        {"field": "account", "type": "str", "default": "*"},
        {"field": "items", "type": "list[int]", "default": "*"},
        {"field": "note", "type": "str | None", "default": "None"},
    ]
    assert call(app, "model", "shop.Parcel")[1].startswith("+Parcel---")
    status, _, err = call(app, "model", "Parcl")
    assert (status, "Did you mean 'Parcel'?" in err) == (1, True)
    status, _, err = call(app, "model", "xyzzy")
    assert (status, "Try: faust models" in err) == (1, True)


def test_quiet_prints_nothing(app: faust.App) -> None:
    """With --quiet tables are not printed."""
    assert call(app, "agents", quiet=True) == (0, "", "")


def test_old_versions_are_cleaned(tmp_path: Path) -> None:
    """clean-versions deletes the directories of earlier versions only."""
    for name in ("v1", "v2", "v3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    app = faust.App("shop", version=3, datadir=tmp_path, broker="memory://", env={})
    status, out, _ = call(app, "clean-versions")
    assert status == 0
    assert out.count("Removing old version directory") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["v3"]


# -- commands of applications


def test_a_command_of_the_app(app: faust.App) -> None:
    """A function with parameters gets the command and its options; it may be called again."""

    @app.command(
        cli.option("--count", type=int, default=1, help="How often."), cli.argument("name")
    )
    async def greet_command(self: cli.AppCommand, count: int, name: str) -> None:
        """Say hello."""
        for _ in range(count):
            self.say(f"hello {name} from {self.app.conf.id}")

    for _ in range(2):
        status, out, _ = call(app, "greet", "--count", "2", "Ann")
        assert (status, out) == (0, "hello Ann from shop\n" * 2)
    assert group.commands["greet"].help == "Say hello."


def test_a_command_without_itself(app: faust.App) -> None:
    """The first parameter is the command only if click gives nothing of its name."""
    took: list[Any] = []
    options = (
        click.argument("name"),
        click.option("--count", default=1, help="How often."),
        click.option("--quietly/--loudly", "hushed", default=True),
        click.option("--older", expose_value=False),
    )

    @app.command(*options)
    async def first(name: str, count: int, hushed: bool) -> None:
        took.append((name, count, hushed))

    @app.command(*options)
    async def second(hushed: bool, *, count: int, name: str) -> None:
        took.append((name, count, hushed))

    @app.command(*options)
    async def third(*, count: int, name: str, hushed: bool) -> None:
        took.append((name, count, hushed))

    @app.command(*options)
    async def fourth(**given: Any) -> None:
        took.append((given["name"], given["count"], given["hushed"]))

    @app.command(*options)
    async def fifth(older: Any, name: str, count: int, hushed: bool) -> None:
        assert isinstance(older, cli.AppCommand)
        took.append((name, count, hushed))

    for command in ("first", "second", "third", "fourth", "fifth"):
        status, _, err = call(app, command, "Ann", "--count", "2", "--loudly")
        assert status == 0, err
    assert took == [("Ann", 2, False)] * 5


def test_a_bare_command(app: faust.App) -> None:
    """A function without parameters is called bare."""
    called = []

    @app.command()
    async def bare() -> None:
        called.append(1)

    assert call(app, "bare")[0] == 0
    assert called == [1]


def test_wrong_commands_are_refused(app: faust.App) -> None:
    """A command must be async, and take the command when it takes options."""
    with pytest.raises(TypeError, match="async def"):

        @app.command()
        def plain() -> None: ...

    with pytest.raises(TypeError, match="`self`"):

        @app.command(cli.option("--x"))
        async def without() -> None: ...


def test_attributes_and_base(app: faust.App) -> None:
    """Keywords become attributes of the class, base its base; abstract ones are no commands."""

    class Base(cli.AppCommand):
        abstract = True
        word = "base"

    @app.command(base=Base, word="mine")
    async def speak(self: Any) -> None:
        self.say(self.word)

    assert "base" not in group.commands
    assert issubclass(speak, Base)
    assert call(app, "speak")[1] == "mine\n"


def test_a_synchronous_command() -> None:
    """A command that overrides __call__ needs no loop and no app."""

    class Whisper(cli.Command):
        """Whisper."""

        options = (cli.argument("text"),)

        def __call__(self, *, text: str) -> None:
            self.say(text)

    assert call(None, "whisper", "psst")[:2] == (0, "psst\n")


def test_exit_statuses(app: faust.App) -> None:
    """SystemExit(n) gives n, a fault 1 with traceback, a usage error 1 with a sentence."""

    @app.command(cli.argument("what"))
    async def fail(self: Any, what: str) -> None:
        if what == "exit":
            raise SystemExit(3)
        if what == "usage":
            raise cli.UsageError("not like this")
        raise KeyError("broken")

    assert call(app, "fail", "exit") == (3, "", "")
    assert call(app, "fail", "usage") == (1, "", "Error: not like this\n")
    status, _, err = call(app, "fail", "fault")
    assert status == 1
    assert "Traceback" in err
    assert "KeyError: 'broken'" in err


def test_unknown_options_are_usage_errors(app: faust.App) -> None:
    """An option that does not exist ends with status 2 and the usage."""
    status, _, err = call(app, "agents", "--nope")
    assert status == 2
    assert "No such option" in err


@pytest.mark.parametrize("args", [("-A", "shop"), ("--json",), ("--no-quiet",)])
def test_options_of_the_program_after_the_command(app: faust.App, args: tuple[str, ...]) -> None:
    """worker-cli.md 2: global options come before the command; who gives one after it is told so."""
    status, _, err = call(app, "agents", *args)
    assert status == 2
    words = (
        f"No such option '{args[0]}'. It is an option of the program, and stands before the command"
    )
    assert words in " ".join(err.split()).replace(f"option: {args[0]}", f"option '{args[0]}'")
    assert f"faust {args[0]} ... agents" in " ".join(err.split())


def test_a_command_may_need_an_app() -> None:
    """Without -A the message says what is missing."""
    status, _, err = call(None, "agents")
    assert status == 2
    assert "Need to specify app using -A parameter" in err


def test_a_bad_value_of_a_setting_is_a_sentence() -> None:
    """A command that reads wrong settings says which, and shows no traceback."""
    app = faust.App("shop", topic_partitions="many", env={})
    status, _, err = call(app, "agents")
    assert status == 1
    assert "setting 'topic_partitions': expected a whole number" in err
    assert "Traceback" not in err


def test_datadir_is_a_default(tmp_path: Path) -> None:
    """--datadir changes the default, not what the app says."""
    app = faust.App("shop", broker="memory://", env={})
    assert call(app, "agents", datadir=str(tmp_path))[0] == 0
    assert app.conf.datadir == tmp_path
    app = faust.App("shop", broker="memory://", datadir="mine", env={})
    assert call(app, "agents", datadir=str(tmp_path))[0] == 0
    assert app.conf.datadir == Path("mine")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_each_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script is for the shell named, else for that of the user; no app is needed."""
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    status, out, _ = call(None, "completion")
    assert status == 0
    assert "_FAUST_COMPLETE" in out
    assert call(None, "completion", shell)[1] == out
    assert call(None, "completion", "tcsh")[0] == 1 or call(None, "completion", "tcsh")[0] == 2


# -- finding apps


MODULE = """
import faust
app = faust.App("found", broker="memory://", env={}, web_enabled=False)
other = faust.App("other", broker="memory://", env={})
text = "x"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a module in the current directory; returns its unique name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str = MODULE, name: str = "") -> str:
        name = name or f"proj_{uuid.uuid4().hex}"
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    return write


def test_apps_are_found_by_every_spelling(project: Callable[..., str]) -> None:
    """module, module.attribute and module:attribute; the spelling becomes the origin."""
    name = project()
    app = find_app(name)
    assert (app.conf.id, app.conf.origin) == ("found", name)
    assert find_app(f"{name}.app") is app
    assert find_app(f"{name}:other").conf.origin == f"{name}:other"
    assert app.finalized
    assert str(Path.cwd()) not in sys.path


def test_apps_are_found_in_packages(project: Callable[..., str]) -> None:
    """pkg.module is a module when it is no attribute, and its attribute app is taken."""
    package = f"pkg_{uuid.uuid4().hex}"
    project("", f"{package}.__init__")
    project(MODULE, f"{package}.app")
    assert find_app(f"{package}.app").conf.id == "found"
    with pytest.raises(AppMissing, match="Looks like module, not app"):
        find_app(f"{package}:app")


def test_missing_apps_say_what_is_missing(project: Callable[..., str]) -> None:
    """A wrong -A names the part that is wrong, and an app that is there."""
    name = project()
    with pytest.raises(ModuleMissing, match="no module 'no_such'"):
        find_app("no_such.app")
    with pytest.raises(AppMissing, match=f"no attribute 'nope'; did you mean -A {name}:app"):
        find_app(f"{name}:nope")
    with pytest.raises(AppMissing, match="it is of type str, not"):
        find_app(f"{name}:text")
    with pytest.raises(ModuleMissing, match="not a file name"):
        find_app(f"{name}.py")
    with pytest.raises(ModuleMissing, match="is not the name"):
        find_app(":app")


def test_faults_of_the_module_are_not_hidden(project: Callable[..., str]) -> None:
    """An import that fails inside the module is the module's fault, with its own error."""
    name = project("import no_such_library_x")
    with pytest.raises(ModuleNotFoundError) as caught:
        find_app(name)
    assert not isinstance(caught.value, ModuleMissing)
    name = project("1 / 0")
    with pytest.raises(ZeroDivisionError):
        find_app(name)


def test_an_unknown_setting_is_told_with_its_line(project: Callable[..., str]) -> None:
    """A mistake in the program's settings is one sentence with file and line."""
    name = project("import faust\napp = faust.App('x', brokr='kafka://', env={})\napp.conf\n")
    status, _, err = call(name, "agents")
    assert status == 1
    assert (
        f"unknown setting 'brokr' (keyword argument). Did you mean 'broker'? ({name}.py, line 3)"
        in (" ".join(err.split()))
    )
    assert "Traceback" not in err


# -- the program


def faust_program(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m faust``."""
    return subprocess.run(
        [sys.executable, "-m", "faust", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=60,
    )


def test_the_program(project: Callable[..., str], tmp_path: Path) -> None:
    """Version, help with the commands of the app, wrong commands and missing ones."""
    name = project(MODULE + "\n@app.command()\nasync def wave() -> None:\n    '''Wave a hand.'''\n")
    done = faust_program("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["Faust", __version__])
    done = faust_program("-A", name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Wave a hand." in done.stdout
    done = faust_program("-A", name, "wafe", cwd=tmp_path)
    assert done.returncode == 2
    assert "wave" in done.stderr
    assert faust_program(cwd=tmp_path).returncode == 2
    done = faust_program("-A", "nope", "worker", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_an_app_runs_its_own_program(project: Callable[..., str], tmp_path: Path) -> None:
    """app.main() is the program for that app, named after the script."""
    name = project(
        MODULE
        + "\n@app.agent(app.topic('t'))\nasync def work(stream): ...\n"
        + "\nif __name__ == '__main__':\n    app.main()\n"
    )
    done = subprocess.run(
        [sys.executable, f"{name}.py", "--json", "agents"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"name": "@work", "topic": "t", "help": "<N/A>"}]


def test_click_is_a_detail() -> None:
    """UsageError of the face is click's."""
    assert cli.UsageError is click.UsageError
