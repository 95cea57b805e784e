"""Shared seed 001 (App API): every class setting takes a subclass, or the path of one, as its two examples show."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

import faust
from tests.seeds.support import Project


def agent(app: faust.App) -> Any:
    @app.agent()
    async def reader(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            pass

    return reader


async def http_client(app: faust.App) -> Any:
    client = app.http_client
    await client.close()
    return client


class Example(NamedTuple):
    """One class setting: its examples in the document, and how an app uses the class."""

    setting: str
    line: int
    imports: str
    base: str
    path: str
    use: Callable[[faust.App], Any]


EXAMPLES = [
    Example("Agent", 139, "import faust", "faust.Agent", "myproj.agents.Agent", agent),
    Example(
        "ConsumerScheduler",
        155,
        "from faust.transport.utils import DefaultSchedulingStrategy as Base",
        "Base",
        "myproj.MySchedulingStrategy",
        lambda app: app.consumer._arrange.strategy,  # type: ignore[union-attr]
    ),
    Example(
        "Event",
        172,
        "import faust",
        "faust.Event",
        "myproj.events.Event",
        lambda app: app.create_event(None, 1, {}, None),  # type: ignore[arg-type]
    ),
    Example(
        "GlobalTable",
        188,
        "import faust",
        "faust.GlobalTable",
        "myproj.tables.GlobalTable",
        lambda app: app.GlobalTable("counts"),
    ),
    Example(
        "HttpClient",
        204,
        "import faust\nfrom aiohttp.client import ClientSession",
        "ClientSession",
        "myproj.http.HttpClient",
        http_client,
    ),
    Example(
        "LeaderAssignor",
        223,
        "from faust.assignor import LeaderAssignor as Base",
        "Base",
        "myproj.assignor.LeaderAssignor",
        lambda app: app.leader_assignor,
    ),
    Example(
        "Monitor",
        252,
        "import faust\nfrom faust.sensors import Monitor as Base",
        "Base",
        "myproj.monitors.Monitor",
        lambda app: app.monitor,
    ),
    Example(
        "PartitionAssignor",
        272,
        "from faust.assignor import PartitionAssignor as Base",
        "Base",
        "myproj.assignor.PartitionAssignor",
        lambda app: app.assignor,
    ),
    Example(
        "Router",
        290,
        "from faust.router import Router as Base",
        "Base",
        "myproj.routers.Router",
        lambda app: app.router,
    ),
    Example(
        "Schema",
        316,
        "import faust",
        "faust.Schema",
        "myproj.schemas.Schema",
        lambda app: app.topic("things").schema,
    ),
    Example(
        "Serializers",
        332,
        "from faust.serialiers import Registry as Base",
        "Base",
        "myproj.serializers.Registry",
        lambda app: app.serializers,
    ),
    Example(
        "SetGlobalTable",
        350,
        "import faust",
        "faust.SetGlobalTable",
        "myproj.tables.SetGlobalTable",
        lambda app: app.SetGlobalTable("sets"),
    ),
    Example(
        "SetTable",
        366,
        "import faust",
        "faust.SetTable",
        "myproj.tables.MySetTable",
        lambda app: app.SetTable("sets"),
    ),
    Example(
        "Stream",
        382,
        "import faust",
        "faust.Stream",
        "myproj.streams.Stream",
        lambda app: app.stream([1, 2]),
    ),
    Example(
        "Table",
        398,
        "import faust",
        "faust.Table",
        "myproj.tables.Table",
        lambda app: app.Table("counts"),
    ),
    Example(
        "TableManager",
        414,
        "from faust.tables import TableManager as Base",
        "Base",
        "myproj.tables.TableManager",
        lambda app: app.tables,
    ),
    Example(
        "Topic",
        432,
        "import faust",
        "faust.Topic",
        "myproj.topics.Topic",
        lambda app: app.topic("things"),
    ),
    Example(
        "Worker",
        450,
        "import faust",
        "faust.Worker",
        "myproj.workers.Worker",
        lambda app: app.Worker(),
    ),
]


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that modules are imported from; forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "myproj"]:
        del sys.modules[name]


async def made(app: faust.App, example: Example) -> Any:
    thing = example.use(app)
    return await thing if asyncio.iscoroutine(thing) else thing


@pytest.mark.filterwarnings("ignore:Inheritance class .* from ClientSession:DeprecationWarning")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.setting)
async def test_a_class_setting(example: Example, importable: Path, project: Project) -> None:
    """The class is the one that the app uses, whether it was given itself or by its path."""
    home, _, name = example.path.rpartition(".")
    code = f"{example.imports}\n\nclass {name}({example.base}):\n    ...\n"
    module = "myproj/__init__.py" if home == "myproj" else f"{home.replace('.', '/')}.py"
    project.write({"myproj/__init__.py": "", module: code})
    by_path = faust.App("paths", broker="memory://", **cast("Any", {example.setting: example.path}))
    thing = await made(by_path, example)
    cls = getattr(sys.modules[home], name)
    assert type(thing) is cls
    given = faust.App("classes", broker="memory://", **cast("Any", {example.setting: cls}))
    assert type(await made(given, example)) is cls
