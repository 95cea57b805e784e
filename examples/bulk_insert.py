"""Write to a database in bulk: `take` collects events, one transaction takes them all, and only then they are done.

python examples/bulk_insert.py worker
python examples/bulk_insert.py measure    # in another terminal: ten thousand readings
python examples/bulk_insert.py total      # what stands in the database

The database is SQLite, in a file beside the state of the app. Topic, partition and offset are its key, so that an event that
comes again after a crash changes nothing.
"""

import random
import sqlite3

import faust
from faust.cli import option

app = faust.App("bulk-insert", broker="local://")


class Reading(faust.Record):
    sensor: str
    celsius: float


readings = app.topic("readings", key_type=str, value_type=Reading, internal=True)


def database():
    """Open the database."""
    app.conf.create_directories()
    connection = sqlite3.connect(app.conf.datadir / "readings.db")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS readings (partition INT, offset INT, sensor TEXT, celsius REAL,"
        " PRIMARY KEY (partition, offset))"
    )
    return connection


@app.agent(readings)
async def store(stream):
    """Insert up to 500 readings at a time, and never later than a second after the first of them."""
    connection = database()
    async for events in stream.take_events(500, within=1):
        with connection:
            connection.executemany(
                "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?)",
                [(e.message.partition, e.offset, e.value.sensor, e.value.celsius) for e in events],
            )
        print(f"{len(events)} readings stored")


@app.command(option("--number", default=10_000, help="How many readings."))
async def measure(self, number):
    """Measure temperatures."""
    await readings.maybe_declare()
    for n in range(number):
        sensor = f"s{n % 20}"
        value = Reading(sensor=sensor, celsius=random.gauss(20, 3))
        await readings.send(key=sensor, value=value)


@app.command()
async def total(self):
    """Count what is stored."""
    print(database().execute("SELECT count(*), round(avg(celsius), 1) FROM readings").fetchone())


if __name__ == "__main__":
    app.main()
