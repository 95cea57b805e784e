"""Count the words of a text: lines are split, words are grouped, and a table counts them.

python examples/word_count.py worker             # in one terminal
python examples/word_count.py feed [FILES...]    # in another: files, or what is piped in, or a text of Python's own
python examples/word_count.py top                # the commonest words so far

The broker is a directory (``local://``). ``BROKER_URL=kafka://localhost:9092`` before each command runs the same
program on Apache Kafka.
"""

import os
import re
import stat
import sys
from collections import Counter
from pathlib import Path
from pydoc_data import topics as python_help

import orjson
from rich.console import Console
from rich.progress import track

import faust
from faust.cli import argument, option
from faust.transport.base import ConsumerOptions
from faust.types import TP

app = faust.App("word-count", broker="local://")
lines = app.topic("lines", value_type=str, internal=True)  # internal: this app creates it
counts = app.Table("counts", default=int)


@app.agent(lines)
async def split(lines):
    """Send every word of every line on."""
    async for line in lines:
        for word in words_of(line):
            await count.send(value=word)


@app.agent(value_type=str)
async def count(words):
    """Count each word in the partition where all of its kind come together."""
    async for word in words.group_by(lambda word: word, name="word"):
        counts[word] += 1


def words_of(line: str) -> list[str]:
    """Return the words of a line in lower case: letters, and apostrophes between them."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", line.lower())


def text(files: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of *files*, else of what is piped in, else of the help texts that come with Python."""
    if files:
        return [line for name in files for line in Path(name).read_text().splitlines()]
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
        return sys.stdin.read().splitlines()
    return [line for topic in python_help.topics.values() for line in topic.splitlines()]


@app.command(argument("files", nargs=-1))
async def feed(self, files):
    """Send a text to the worker, line by line."""
    await lines.maybe_declare()
    sent = text(files)
    for line in track(sent, f"feeding {len(sent):,} lines", console=Console(stderr=True)):
        await lines.send(value=line)


@app.command(option("--number", default=20, help="How many."))
async def top(self, number):
    """Print the commonest words that have been counted."""
    for word, times in (await read_counts()).most_common(number):
        self.say(f"{times:7,} {word}")


async def read_counts() -> Counter:
    """Read the table from outside the worker: its changelog is a topic that anybody may read."""
    topic = counts.changelog_topic_name
    reader = app.transport.consumer(ConsumerOptions())
    await reader.start()
    try:
        tps = [TP(topic, number) for number in await reader.partitions_for(topic) or ()]
        await reader.assign(tps)
        ends = await reader.end_offsets(tps)
        found = Counter()
        while any([await reader.position(tp) < ends[tp] for tp in tps]):
            for piece in await reader.take(timeout=1.0):
                for record in piece.records:
                    found[orjson.loads(record.key)] = orjson.loads(record.value)
        return found
    finally:
        await reader.close()


if __name__ == "__main__":
    app.main()
