"""The plug-in tables: schemes, entry points, dotted paths and what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from yarl import URL

from faust.drivers import Drivers, stores, transports
from faust.exceptions import ImproperlyConfigured
from faust.stores.base import Store
from faust.transport.base import Transport


@pytest.mark.parametrize("scheme", ["kafka", "aiokafka", "memory", "local"])
def test_built_in_transports(scheme: str) -> None:
    """Every built-in scheme leads to a transport, as text and as URL, with and without host."""
    cls = transports.by_name(scheme)
    assert issubclass(cls, Transport)
    for url in (f"{scheme}://", f"{scheme}://host:1", URL(f"{scheme}://host"), scheme):
        assert transports.by_url(url) is cls


def test_schemes_that_mean_the_same() -> None:
    """Schemes kafka and aiokafka are one driver, and so are memory and local."""
    assert transports.by_name("kafka") is transports.by_name("aiokafka")
    assert transports.by_name("memory") is transports.by_name("local")
    assert sorted(transports) == ["aiokafka", "kafka", "local", "memory"]


def test_built_in_stores() -> None:
    """The memory store and RocksDB are there."""
    assert issubclass(stores.by_url("memory://"), Store)
    assert issubclass(stores.by_url("rocksdb://"), Store)
    assert list(stores) == ["memory", "rocksdb"]


@pytest.mark.parametrize(
    ("table", "url", "words"),
    [
        (transports, "kafak://x", r"no transport for kafak://.*known are.*did you mean kafka://\?"),
        (
            transports,
            "amqp://x",
            r"no transport for amqp://; known are aiokafka://, kafka://, local",
        ),
        (transports, "", r"no transport for ://; known are"),
        (transports, "confluent://x", r"confluent:// is not part of this release: use kafka://"),
        (
            stores,
            "aerospike://",
            r"table store aerospike:// is not part of this release: use rocksdb:// or memory://",
        ),
        (stores, "memry://", r"did you mean memory://\?"),
    ],
)
def test_unknown_schemes(table: Drivers, url: str, words: str) -> None:
    """A scheme that nobody drives is named together with those that somebody does."""
    with pytest.raises(ImproperlyConfigured, match=words):
        table.by_url(url)


@pytest.mark.parametrize("path", ["collections:OrderedDict", "collections.OrderedDict"])
def test_full_dotted_paths(path: str) -> None:
    """A full path is accepted wherever a scheme is, in both spellings."""
    from collections import OrderedDict

    assert transports.by_name(path) is OrderedDict
    assert transports.by_url(f"{path}://host") is OrderedDict
    assert transports.by_url(URL("collections.OrderedDict://host")) is OrderedDict  # in lower case


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("collections:Nope", "that module has no 'Nope'"),
        ("no.such.module:Driver", "there is no module 'no'"),
        ("faust.no_such:Driver", "there is no module 'faust.no_such'"),
    ],
)
def test_wrong_paths(path: str, words: str) -> None:
    """A path that leads nowhere says where it ends."""
    with pytest.raises(ImproperlyConfigured, match=words):
        stores.by_name(path)


def table_with_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Drivers:
    """Make a table whose driver imports a library that nobody has."""
    (folder / "thirsty_driver.py").write_text("import librocks.db\nclass Store: pass\n")
    monkeypatch.syspath_prepend(folder)
    return Drivers(
        "table store",
        "faust.test.none",
        {"rocks": "thirsty_driver:Store", "other": "thirsty_driver:Store"},
        install={"rocks": "faust[rocks]"},
    )


def test_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver whose library is missing says which one, and what to install."""
    table = table_with_library(tmp_path, monkeypatch)
    with pytest.raises(
        ImproperlyConfigured,
        match=r"'rocks' needs the library 'librocks'.*pip install 'faust\[rocks\]'",
    ):
        table.by_url("rocks://")
    with pytest.raises(ImproperlyConfigured, match="pip install 'librocks'"):
        table.by_url("other://")


def test_entry_points_add_and_replace_schemes(tmp_path: Path) -> None:
    """Installed distributions add schemes, and may replace built-in ones."""
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[faust.stores]\ndisk = collections:OrderedDict\nmemory = collections:Counter\n"
    )
    program = (
        "from faust.drivers import stores, transports\n"
        "print(list(stores), stores.by_url('disk://'), stores.by_url('memory://'))\n"
        "print(transports.by_url('memory://').__name__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == [
        "['disk', 'memory', 'rocksdb'] <class 'collections.OrderedDict'> <class 'collections.Counter'>",
        "Transport",
    ]
