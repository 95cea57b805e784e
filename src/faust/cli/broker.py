"""``faust broker``: look at a broker, and tidy it up.

Works on every transport through its admin client and consumer. The broker is that of the app
(``-A``), or the one named by ``--broker`` or by the variable ``BROKER_URL``.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import click

from faust.app.clients import consumer_options, credentials_of, make_transport
from faust.cli.base import Command, UsageError, argument, option
from faust.cli.state import cli
from faust.exceptions import UnknownTopic
from faust.messages import TP, Record
from faust.settings.settings import Settings
from faust.transport.base import AdminDriver, ConsumerOptions, GroupDescription, Transport

__all__ = ["broker"]

TOPIC_HEADERS = ["topic", "partition", "start", "end", "records"]
GROUP_HEADERS = ["group", "state", "members", "topic", "partition", "committed", "end", "lag"]

_broker_option = option("--broker", "-b", help="URL of the broker, instead of that of the app.")


@click.group(name="broker", invoke_without_command=True)
@_broker_option
def broker(**_params: Any) -> None:
    """Look at topics and groups of a broker; without a command: at all of them."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        overview(ctx)()


cli.add_command(broker)


class BrokerCommand(Command):
    """A command that talks to a broker."""

    abstract: ClassVar[bool] = True
    group: ClassVar[click.Group] = broker

    def __init__(self, ctx: click.Context, *args: Any, **kwargs: Any) -> None:
        url = kwargs.pop("broker", None) or _outer_broker(ctx)
        super().__init__(ctx, *args, **kwargs)
        self.conf: Settings = self._settings(url)
        urls = self.conf.broker_consumer
        if urls[0].scheme == "local" and not urls[0].host and urls[0].path in {"", "/"}:
            self._require_app(str(urls[0]))
        self.transport: Transport = make_transport(urls, self.conf)
        if url is not None or self.state.find_app() is None:
            self._require_directory()

    def _settings(self, url: str | None) -> Settings:
        app = self.state.find_app()
        if url is not None:
            conf = Settings(app.conf.name if app else "faust", broker=url, env={})
            if app is not None:
                conf.assign("datadir", app.conf.datadir, "the app")
                conf.assign("broker_credentials", credentials_of(app.conf), "the app")
            return conf
        if app is not None:
            return app.conf
        if "BROKER_URL" not in os.environ:
            raise UsageError("Name the broker: --broker URL, or the app that uses it: -A")
        return Settings("faust")

    def _require_app(self, url: str) -> None:
        if self.state.find_app() is None:
            raise UsageError(
                f"{url} alone is a directory below the data directory of an app: name the app with "
                f"-A, or the directory (local:///path)"
            )

    def _require_directory(self) -> None:
        """Refuse an address at which no broker has ever been: looking there would make one."""
        directory = getattr(self.transport, "directory", None)
        if directory is not None and not directory.is_dir():
            raise UsageError(f"There is no broker in {directory}: no such directory")

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[AdminDriver]:
        """Connect an admin client."""
        admin = self.transport.admin(
            client_id=self.conf.broker_client_id,
            request_timeout=self.conf.broker_request_timeout,
            credentials=credentials_of(self.conf),
        )
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def print_topics(self, admin: AdminDriver, names: Sequence[str]) -> None:
        """Print one line per partition of the topics named, or of all."""
        partitions = await partitions_of(admin, names or await admin.list_topics())
        offsets = await admin.offsets(partitions)
        rows = [
            (tp.topic, tp.partition, start, end, end - start)
            for tp, (start, end) in ((tp, offsets[tp]) for tp in partitions)
        ]
        self.say(self.tabulate(rows, headers=TOPIC_HEADERS, title="Topics"))

    async def print_groups(self, admin: AdminDriver, names: Sequence[str]) -> None:
        """Print one line per partition of the topics that the groups have committed."""
        rows: list[Sequence[Any]] = []
        for name in names or await admin.list_groups():
            group = await admin.describe_group(name)
            known = await admin.describe_topics({tp.topic for tp in group.offsets})
            there = [
                TP(topic, number)
                for topic, description in known.items()
                if description is not None
                for number in description.partitions
            ]
            rows += group_rows(group, await admin.offsets(there))
        self.say(self.tabulate(rows, headers=GROUP_HEADERS, title="Groups"))


def _outer_broker(ctx: click.Context) -> str | None:
    """Return ``--broker`` as given before the name of the command."""
    params: Mapping[str, Any] = ctx.params if ctx.command is broker else {}
    if ctx.parent is not None and ctx.parent.command is broker:
        params = ctx.parent.params
    return params.get("broker")


async def partitions_of(admin: AdminDriver, names: Iterable[str]) -> list[TP]:
    """Return all partitions of topics, in order.

    Raises:
        UnknownTopic: one of them does not exist.
    """
    names = list(names)
    found = await admin.describe_topics(names)
    partitions = []
    for name in names:
        description = found.get(name)
        if description is None:
            raise UnknownTopic(f"there is no topic {name!r}")
        partitions += [TP(name, number) for number in description.partitions]
    return partitions


def group_rows(
    group: GroupDescription, bounds: Mapping[TP, tuple[int, int]]
) -> list[Sequence[Any]]:
    """Return the lines of one group.

    Arguments:
        group: The group. One that has committed nothing has one line, too.
        bounds: First and next offset of all partitions of its topics. Where nothing is committed,
            everything that is there is behind.
    """
    head = (group.group_id, group.state, len(group.members))
    if not group.offsets:
        return [(*head, "-", "-", "-", "-", "-")]
    rows: list[Sequence[Any]] = []
    for tp in sorted({*group.offsets, *bounds}):
        committed = group.offsets.get(tp)
        start, end = bounds.get(tp, (None, None))
        done = start if committed is None else committed
        lag = "-" if end is None or done is None else max(0, end - done)
        shown = ("-" if value is None else value for value in (committed, end))
        rows.append((*head, tp.topic, tp.partition, *shown, lag))
    return rows


class overview(BrokerCommand):  # noqa: N801 - commands are named like this
    """Print all topics and all groups."""

    options: ClassVar[Any] = [_broker_option]

    async def run(self) -> None:
        """Print two tables."""
        async with self.admin() as admin:
            await self.print_topics(admin, ())
            await self.print_groups(admin, ())


class topics(BrokerCommand):  # noqa: N801
    """Print the partitions of topics, with their first and next offsets."""

    options: ClassVar[Any] = [_broker_option, argument("names", nargs=-1)]

    async def run(self, *, names: Sequence[str]) -> None:
        """Print the table."""
        async with self.admin() as admin:
            await self.print_topics(admin, names)


class groups(BrokerCommand):  # noqa: N801
    """Print what consumer groups have committed, and how far they are behind."""

    options: ClassVar[Any] = [_broker_option, argument("names", nargs=-1)]

    async def run(self, *, names: Sequence[str]) -> None:
        """Print the table."""
        async with self.admin() as admin:
            await self.print_groups(admin, names)


class dump(BrokerCommand):  # noqa: N801
    """Print the records of a topic, one JSON object per line.

    Keys, values and headers are shown as text; bytes that are not UTF-8 as {"base64": "..."}.
    Timestamps are in seconds since the epoch.
    """

    options: ClassVar[Any] = [
        _broker_option,
        option("--partition", type=click.IntRange(0), help="Only this partition."),
        option("--limit", type=click.IntRange(1), help="End after so many records."),
        argument("topic"),
    ]

    async def run(self, *, topic: str, partition: int | None, limit: int | None) -> None:
        """Read from the start to what was the end when we began."""
        async with self.admin() as admin:
            partitions = await partitions_of(admin, [topic])
            if partition is not None:
                partitions = [tp for tp in partitions if tp.partition == partition]
            if not partitions:
                raise UsageError(f"topic {topic!r} has no partition {partition}")
            bounds = await admin.offsets(partitions)
        ends = {tp: end for tp, (start, end) in bounds.items() if start < end}
        await self._print(ends, limit)

    async def _print(self, ends: dict[TP, int], limit: int | None) -> None:
        consumer = self.transport.consumer(_without_group(self.conf))
        await consumer.start()
        printed = 0
        try:
            await consumer.assign(list(ends))
            while ends:
                slices = await consumer.take(1.0)
                for piece in slices:
                    for record in piece.records:
                        if record.offset < ends.get(piece.tp, 0):
                            self.say(self.dumps(shown_record(piece.tp, record)))
                            printed += 1
                            if printed == limit:
                                return
                    if piece.next_offset >= ends.get(piece.tp, 0):
                        ends.pop(piece.tp, None)
                if not slices:
                    for tp, end in list(ends.items()):
                        if await consumer.position(tp) >= end:
                            del ends[tp]
        finally:
            await consumer.close()


def _without_group(conf: Settings) -> ConsumerOptions:
    """Return options for reading on our own, from the start."""
    return replace(
        consumer_options(conf), group_id=None, group_instance_id=None, auto_offset_reset="earliest"
    )


def shown_record(tp: TP, record: Record) -> dict[str, Any]:
    """Return a record as plain data."""
    return {
        "topic": tp.topic,
        "partition": tp.partition,
        "offset": record.offset,
        "timestamp": record.timestamp / 1000,
        "key": _shown(record.key),
        "value": _shown(record.value),
        "headers": [[name, _shown(value)] for name, value in record.headers],
    }


def _shown(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class delete(BrokerCommand):  # noqa: N801
    """Delete topics with all their records."""

    options: ClassVar[Any] = [
        _broker_option,
        option("--yes", "-y", is_flag=True, help="Do not ask."),
        argument("names", nargs=-1, required=True),
    ]

    def __call__(self, *, names: Sequence[str], yes: bool) -> None:
        """Ask, then delete."""
        listed = ", ".join(names)
        if not yes and not click.confirm(f"Delete {listed} with all records?", err=True):
            raise click.Abort
        super().__call__(names=names)

    async def run(self, *, names: Sequence[str]) -> None:
        """Delete them; one that does not exist is an error, and then none is deleted."""
        async with self.admin() as admin:
            await partitions_of(admin, names)
            await admin.delete_topics(names)
        for name in names:
            self.say(f"Deleted topic {name}")


class compact(BrokerCommand):  # noqa: N801
    """Compact a topic now: keep the last record of every key."""

    options: ClassVar[Any] = [_broker_option, argument("topic")]

    async def run(self, *, topic: str) -> None:
        """Compact it."""
        async with self.admin() as admin:
            await partitions_of(admin, [topic])
            try:
                await admin.compact(topic)
            except NotImplementedError as exc:
                raise UsageError(str(exc)) from exc
        self.say(f"Compacted topic {topic}")
