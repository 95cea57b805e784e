"""The public surface: every name that documents show is there, with the signature they show, and says what it is.

The names stand in ``tests/public_names/*.txt``, one a line, under the module, class or instance they belong to:

* ``[faust.app]``, ``[faust.app.App]``: what follows are attributes of that module or class;
* ``[instance faust.app.App]``: ... of an instance of it (`INSTANCES` makes them);
* ``name``: it is there; ``name = literal``: it has that value;
* ``name(a, b=1, *, c=None, **d)``: it can be called so. ``...`` stands for a default that is not fixed.

A signature promises what a caller may write. So ours may have further parameters when they have defaults, and may take
by position what is documented by keyword.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import faust

TABLES = sorted((Path(__file__).parent / "public_names").glob("*.txt"))


def make_app() -> faust.App:
    """Make an application of which nothing is started."""
    return faust.App("public", broker="memory://", web_enabled=False)


def topic() -> Any:
    return make_app().topic("things", value_type=int)


def table() -> Any:
    return make_app().Table("counts", default=int, partitions=1)


def agent() -> Any:
    @make_app().agent(name="public.agent")
    async def reader(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            pass

    return reader


INSTANCES: dict[str, Callable[[], Any]] = {
    "faust.app.App": make_app,
    "faust.app.BootStrategy": lambda: make_app().boot_strategy,
    "faust.app.conductor_of": lambda: make_app().topics,
    "faust.app.agents_of": lambda: make_app().agents,
    "faust.app.flow_control_of": lambda: make_app().flow_control,
    "faust.app.router_of": lambda: make_app().router,
    "faust.Settings": lambda: make_app().conf,
    "faust.Topic": topic,
    "faust.Table": table,
    "faust.Agent": agent,
    "faust.Monitor": faust.Monitor,
    "faust.worker.Worker": lambda: make_app().Worker(),
}


class Name(NamedTuple):
    """One line of the tables."""

    holder: str
    line: str

    @property
    def path(self) -> str:
        """What is looked for, below its holder."""
        return self.line.partition("(")[0].partition(" = ")[0].removeprefix("async ").strip()


def names() -> Iterator[Any]:
    """Yield every line of the tables as a parameter of a test."""
    for page in TABLES:
        holder = ""
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.startswith("["):
                holder = line.strip("[]")
            elif line and not line.startswith("#"):
                name = Name(holder, line)
                yield pytest.param(name, id=f"{page.stem}:{number}:{name.path}")


def look_up(path: str) -> Any:
    """Return the module, or the attribute of a module, at *path*."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        home, _, last = path.rpartition(".")
        if not home:
            raise
        return getattr(look_up(home), last)


def holder_of(name: Name) -> Any:
    """Return what has the name as an attribute."""
    if name.holder.startswith("instance "):
        return INSTANCES[name.holder.removeprefix("instance ")]()
    return look_up(name.holder)


def documented(line: str) -> list[Parameter]:
    """Return the parameters that a line of the tables shows."""
    name = line.partition("(")[2].rpartition(")")[0]
    parsed = ast.parse(f"def f({name}): ...").body[0]
    assert isinstance(parsed, ast.FunctionDef)
    given = parsed.args
    shown: list[Parameter] = []
    optional = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    for arg, default in zip(given.args, optional, strict=True):
        shown.append(_parameter(arg.arg, Parameter.POSITIONAL_OR_KEYWORD, default))
    if given.vararg:
        shown.append(Parameter(given.vararg.arg, Parameter.VAR_POSITIONAL))
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        shown.append(_parameter(arg.arg, Parameter.KEYWORD_ONLY, default))
    if given.kwarg:
        shown.append(Parameter(given.kwarg.arg, Parameter.VAR_KEYWORD))
    return shown


def _parameter(name: str, kind: Any, default: ast.expr | None) -> Parameter:
    value = Parameter.empty if default is None else ast.literal_eval(default)
    return Parameter(name, kind, default=value)


def signature_of(name: Name, found: Any) -> list[Parameter]:
    """Return the parameters that a caller of *found* gives."""
    real = list(inspect.signature(found).parameters.values())
    if inspect.isfunction(found) and real and real[0].name == "self":
        return real[1:]
    return real


def misfits(shown: list[Parameter], real: list[Parameter]) -> Iterator[str]:
    """Yield how a call as documented would fail, or mean something else."""
    ours = {parameter.name: parameter for parameter in real}
    kinds = {parameter.kind for parameter in real}
    positions = [p.name for p in real if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    place = 0
    for parameter in shown:
        if parameter.kind is parameter.VAR_KEYWORD:
            continue  # which keywords those are is a matter of other lines
        if parameter.kind is parameter.VAR_POSITIONAL:
            if parameter.VAR_POSITIONAL not in kinds:
                yield f"takes no *{parameter.name}"
            continue
        own = ours.get(parameter.name)
        if own is None:
            yield f"has no parameter {parameter.name!r}"
            continue
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            if place >= len(positions) or positions[place] != parameter.name:
                yield f"{parameter.name!r} is not parameter number {place + 1}"
            place += 1
        if parameter.default is not ... and own.default != parameter.default:
            if parameter.default is Parameter.empty and own.default is not Parameter.empty:
                continue  # may be left out though documents always give it
            yield f"the default of {parameter.name!r} is {own.default!r}, not {parameter.default!r}"
    known = {parameter.name for parameter in shown}
    for parameter in real:
        named = parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
        if named and parameter.name not in known and parameter.default is Parameter.empty:
            yield f"wants {parameter.name!r}, of which documents do not tell"


@pytest.mark.parametrize("name", list(names()))
def test_documented_name(name: Name) -> None:
    """The name is where documents have it, is called as they show it, and has a docstring if it is code."""
    holder = holder_of(name)
    found = getattr(holder, name.path)
    if " = " in name.line and "(" not in name.line.partition(" = ")[0]:
        assert found == ast.literal_eval(name.line.partition(" = ")[2])
    if "(" in name.line.partition(" = ")[0]:
        problems = list(misfits(documented(name.line), signature_of(name, found)))
        assert not problems, f"{name.holder}.{name.path} {inspect.signature(found)}: {problems}"
        if name.line.startswith("async "):
            assert inspect.iscoroutinefunction(found)
    ours = getattr(found, "__module__", "").partition(".")[0] == "faust"
    if ours and (inspect.isroutine(found) or inspect.isclass(found)):
        assert inspect.getdoc(found), f"{name.holder}.{name.path} has no docstring"


def test_the_check_of_signatures_can_fail() -> None:
    """A missing parameter, another default, another order and a further mandatory parameter are all found."""

    def ours(first: int, second: int, *, third: int = 3) -> None: ...

    real = list(inspect.signature(ours).parameters.values())
    for line, words in [
        ("f(first, second, *, fourth=4)", "no parameter 'fourth'"),
        ("f(first, second, *, third=4)", "default of 'third'"),
        ("f(second, first)", "'second' is not parameter number 1"),
        ("f(first)", "wants 'second'"),
        ("f(first, second, *more)", "takes no *more"),
    ]:
        assert any(words in problem for problem in misfits(documented(line), real)), line
    assert not list(misfits(documented("f(first, second, *, third=3)"), real))


# -- everything that is public says what it is


def modules() -> Iterator[Any]:
    """Yield every module of the package whose library is there."""
    yield faust
    for found in pkgutil.walk_packages(faust.__path__, "faust."):
        if found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError:  # an extra that is not installed
            continue


def public_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods and properties that *cls* adds to its bases."""
    for name, member in vars(cls).items():
        inner = getattr(member, "__func__", member)
        code = inspect.isfunction(inner) or isinstance(inner, property)
        inherited = any(name in vars(base) for base in cls.__mro__[1:])
        if code and not inherited and not name.startswith("_"):
            yield name, inner


def test_everything_public_has_a_docstring() -> None:
    """Every module, every class and function in an ``__all__``, and each of their methods has a docstring."""
    missing = []
    for module in modules():
        if not inspect.getdoc(module):
            missing.append(module.__name__)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            if thing.__module__.partition(".")[0] != "faust":
                continue
            if not inspect.getdoc(thing):
                missing.append(f"{module.__name__}.{name}")
            members = public_members(thing) if inspect.isclass(thing) else ()
            missing += [
                f"{module.__name__}.{name}.{method}" for method, code in members if not code.__doc__
            ]
    assert not missing


def test_every_all_is_true() -> None:
    """What a module lists in ``__all__`` is there, once."""
    for module in modules():
        listed = list(getattr(module, "__all__", ()))
        assert len(listed) == len(set(listed)), module.__name__
        lacking = [name for name in listed if not hasattr(module, name)]
        assert not lacking, f"{module.__name__}: {lacking}"


def test_the_face_lists_what_it_shows() -> None:
    """``from faust import *`` gives every name that the documents import from ``faust``."""
    documented = {
        name.path
        for parameter in names()
        for name in parameter.values
        if isinstance(name, Name) and name.holder == "faust"
    }
    assert documented <= set(faust.__all__)


def test_the_package_says_which_version_it_is() -> None:
    """``faust.__version__`` is the version that the installed distribution has, too."""
    assert faust.__version__ == importlib.metadata.version("faust")
