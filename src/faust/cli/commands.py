"""The built-in commands that look at an application or use it for a moment."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import shutil
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import click
from click.shell_completion import get_completion_class

from faust.cli.base import AppCommand, Command, UsageError, argument, option
from faust.cli.state import cli
from faust.exceptions import ValueDecodeError
from faust.models.base import registry
from faust.topics.topic import Topic

__all__ = ["agents", "clean_versions", "completion", "model", "models", "reset", "send", "tables"]


class agents(AppCommand):  # noqa: N801 - the documented name
    """List the agents."""

    title = "Agents"
    headers: ClassVar[list[str]] = ["name", "topic", "help"]
    options: ClassVar[Any] = [
        option(
            "--local/--no-local", default=False, help="Include agents that read in-memory channels."
        ),
    ]

    async def run(self, *, local: bool) -> None:
        """Print the table."""
        rows = []
        for name, agent in sorted(self.app.agents.items()):
            topic = _topic_of(agent.channel)
            if topic is not None or local:
                shown = "<LOCAL>" if topic is None else topic
                help_text = (agent.help or "").strip() or "<N/A>"
                rows.append((self.abbreviate_fqdn(name, prefix="@"), shown, help_text))
        self.say(self.tabulate(rows, headers=self.headers, title=self.title))


def _topic_of(channel: Any) -> str | None:
    """Name what a channel reads from the broker; None for an in-memory channel."""
    if not isinstance(channel, Topic):
        return None
    if channel.pattern is not None:
        return str(getattr(channel.pattern, "pattern", channel.pattern))
    return ",".join(channel.topics)


class tables(AppCommand):  # noqa: N801
    """List the tables."""

    title = "Tables"
    headers: ClassVar[list[str]] = ["name", "help"]

    async def run(self) -> None:
        """Print the table of tables."""
        missing = 'Missing description: use Table(.., help="str")'
        rows = [
            (self.abbreviate_fqdn(table.name), table.help or missing)
            for table in self.app.tables.values()
        ]
        self.say(self.tabulate(rows, headers=self.headers, title=self.title))


class models(AppCommand):  # noqa: N801
    """List the models."""

    title = "Models"
    headers: ClassVar[list[str]] = ["name", "help"]
    options: ClassVar[Any] = [
        option("--builtins/--no-builtins", default=False, help="Include models of the library."),
    ]

    async def run(self, *, builtins: bool) -> None:
        """Print the table of models."""
        rows = [
            (self.abbreviate_fqdn(namespace), inspect.cleandoc(vars(found)["__doc__"] or "<N/A>"))
            for namespace, found in sorted(registry.items())
            if builtins or not _is_builtin(namespace, found)
        ]
        self.say(self.tabulate(rows, headers=self.headers, title=self.title))


def _is_builtin(namespace: str, found: Any) -> bool:
    return namespace.startswith("@") or found.__module__.partition(".")[0] == "faust"


class model(AppCommand):  # noqa: N801
    """Show the fields of a model."""

    headers: ClassVar[list[str]] = ["field", "type", "default"]
    options: ClassVar[Any] = [argument("name")]

    async def run(self, *, name: str) -> None:
        """Print the table of fields; ``*`` as default means that the field is required."""
        namespace, found = self._find(name)
        rows = [
            (field.field, _type_name(field.type), "*" if field.required else repr(field.default))
            for field in found._options.descriptors.values()
        ]
        title = self.abbreviate_fqdn(namespace)
        self.say(self.tabulate(rows, headers=self.headers, title=title))

    def _find(self, name: str) -> tuple[str, Any]:
        origin = (self.app.conf.origin or "").partition(":")[0]
        for namespace in (name, name if "." in name else f"{origin}.{name}"):
            if namespace in registry:
                return namespace, registry[namespace]
        shown = {self.abbreviate_fqdn(namespace): namespace for namespace in registry}
        near = get_close_matches(name, [*registry, *shown], n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Try: {self.prog_name} models"
        raise click.ClickException(f"No model {name!r}. {hint}")


def _type_name(typ: Any) -> str:
    return typ.__name__ if typ in {int, float, str, bytes, datetime} else repr(typ)


class reset(AppCommand):  # noqa: N801
    """Delete the local state of all tables; the next worker reads it from the changelogs again."""

    async def run(self) -> None:
        """Delete it table by table, one line each."""
        with self.progress("resetting", len(self.app.tables)) as progress:
            for table in self.app.tables.values():
                self.say(f"Removing database for table {table.name}...")
                await table.reset_state()
                progress.advance()


class clean_versions(AppCommand):  # noqa: N801
    """Delete the local data of earlier versions of the application."""

    async def run(self) -> None:
        """Delete the directories, one line each."""
        old = list(self.app.conf.find_old_versiondirs())
        with self.progress("cleaning", len(old)) as progress:
            for directory in old:
                self.say(f"Removing old version directory {directory}...")
                shutil.rmtree(directory)
                progress.advance()


class completion(Command):  # noqa: N801
    """Print the completion script for your shell.

    Put its output where the shell reads it, for example: faust completion >> ~/.bashrc
    """

    options: ClassVar[Any] = [argument("shell", required=False)]

    def __call__(self, *, shell: str | None = None) -> None:
        """Print the script of the shell named, or of the one in the variable SHELL."""
        name = shell or Path(os.environ.get("SHELL", "")).stem
        found = get_completion_class(name)
        if found is None:
            raise UsageError(f"no completion for shell {name!r}: name bash, zsh or fish")
        program = Path(self.prog_name.split()[-1]).stem
        variable = f"_{program}_COMPLETE".replace("-", "_").upper()
        self.say(found(cli, {}, program, variable).source())


class send(AppCommand):  # noqa: N801
    """Send a message to a topic, or to the topic of an agent (@name).

    Without a type, KEY and VALUE are sent as they are written; with one they are read as that type
    first, so that nothing is sent that cannot be understood. To an agent that could not read VALUE
    (hello is no JSON) it is sent as a text in the agent's own format ("hello").
    """

    options: ClassVar[Any] = [
        option("--key-type", "-K", help="Class of the key."),
        option("--key-serializer", help="Codec of the key."),
        option("--value-type", "-V", help="Class of the value."),
        option("--value-serializer", help="Codec of the value."),
        option("--key", "-k", help="The key.  [default: none]"),
        option("--partition", type=int, help="The partition.  [default: by key]"),
        option("--repeat", "-r", type=click.IntRange(1), default=1, help="How many times."),
        option("--min-latency", type=float, default=0.0, help="Seconds between two, at least."),
        option("--max-latency", type=float, default=0.0, help="Seconds between two, at most."),
        argument("entity"),
        argument("value", required=False),
    ]

    def __init__(self, ctx: click.Context, **kwargs: Any) -> None:
        self._key_codec = kwargs.get("key_serializer")
        self._value_codec = kwargs.get("value_serializer")
        super().__init__(ctx, **kwargs)

    async def run(
        self,
        *,
        entity: str,
        value: str | None,
        key: str | None,
        key_type: str | None,
        value_type: str | None,
        partition: int | None,
        repeat: int,
        min_latency: float,
        max_latency: float,
    ) -> None:
        """Send, and print where each message went."""
        topic = self.to_topic(entity)
        if not isinstance(topic, Topic):
            raise UsageError(
                f"{entity} reads an in-memory channel, which cannot be sent to from here"
            )
        the_key, key_codec = self._meant(key_type, key, self._key_codec, key=True)
        the_value, value_codec = self._meant(value_type, value, self._value_codec)
        if entity.startswith("@") and value_codec == "raw" and value_type is None:
            the_value = self._legible(topic, value, the_value)
        with self.progress("sending", repeat) as progress:
            for number in range(repeat):
                if number and max_latency:
                    await asyncio.sleep(random.uniform(min_latency, max_latency))
                self.carp(f"k={the_key!r} v={the_value!r} -> {topic}...")
                delivery = await topic.send(
                    key=the_key,
                    value=the_value,
                    partition=partition,
                    key_serializer=key_codec,
                    value_serializer=value_codec,
                )
                metadata = await delivery
                self.say(self.dumps(metadata._asdict()))
                progress.advance()

    def _legible(
        self, topic: Topic[Any, Any], text: str | None, data: bytes | None
    ) -> bytes | None:
        """Return *data* if who reads *topic* can decode it; else *text* in its format, if that can be decoded."""
        schema, registry = topic.schema, self.app.serializers
        codec = schema.value_serializer
        for given in (data, registry.dumps_value(None, text, serializer=codec)):
            try:
                registry.loads_value(schema.value_type, given, serializer=codec)
            except ValueDecodeError:
                continue
            return given
        return data

    def _meant(
        self, typ: str | None, text: str | None, codec: str | None, *, key: bool = False
    ) -> tuple[Any, str | None]:
        """Return what a text means, and the codec to send it with."""
        if text is None:
            return None, codec
        if typ is None and codec is None:
            return text.encode(), "raw"
        default = self.key_serializer if key else self.value_serializer
        if typ is not None:
            return self.to_model(typ, text, codec or default, key=key), codec
        registry = self.app.serializers
        loads = registry.loads_key if key else registry.loads_value
        return loads(None, text.encode(), serializer=codec), codec
