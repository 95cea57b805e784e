"""Copies of tables on disk: made while the worker runs, put back while it does not (stores.md 4.6)."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faust
from tests.support.apps import committed_everything, eventually, make_app, running

Name = Callable[..., str]


@pytest.mark.parametrize("broker_url", ["memory"], indirect=True)
async def test_a_copy_is_put_back_and_the_rest_is_read(
    broker_url: str, topic_name: Name, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After the loss of a disk its copies are put back, and recovery reads what came after they were made, and no more."""
    caplog.set_level(logging.INFO, logger="faust.tables.recovery")

    def make() -> tuple[faust.App, Any, Any]:
        app = make_app(
            broker_url, topic_name("app"), store="rocksdb://", datadir=tmp_path, web_enabled=False
        )
        source = app.topic(topic_name("in"), key_type=str, value_type=int, internal=True)
        totals = app.Table("totals", default=int)

        @app.agent(source, name="add")
        async def add(stream: Any) -> None:
            async for key, amount in stream.items():
                totals[key] += amount

        return app, source, totals

    app, source, totals = make()
    async with running(app):
        for number in range(150):
            await source.send(key=f"k{number}", value=1)
            if number == 99:
                await eventually(lambda: len(totals) == 100)
                await committed_everything(app)
                for partition in range(4):
                    await totals.data.backup_partition(partition)
                with pytest.raises(RuntimeError, match="is open; stop the worker"):
                    totals.data.restore_backup(0)
        await eventually(lambda: len(totals) == 150)
        await committed_everything(app)

    for path in app.conf.tabledir.glob("totals-*.db"):
        shutil.rmtree(path)
    app, _, totals = make()
    for partition in range(4):
        totals.data.restore_backup(partition)
    caplog.clear()
    async with running(app):
        assert dict(totals) == {f"k{number}": 1 for number in range(150)}
    assert "Recovered 50 records of 4 table partitions" in caplog.text
