"""Two apps in one process: one measures, the other listens. Each has its own group, tables and agents.

python examples/several_apps.py        runs both for a moment
"""

from __future__ import annotations

import asyncio
import random

import faust

BROKER = "memory://several-apps"

# each app has a web server of its own: without `web_enabled=False` give them different ports, `web_port=`
sensors = faust.App("sensors", broker=BROKER, web_enabled=False)
alarms = faust.App("alarms", broker=BROKER, web_enabled=False)


class Reading(faust.Record):
    place: str
    celsius: float


readings = sensors.topic("temperatures", key_type=str, value_type=Reading, internal=True)
heard = alarms.topic("temperatures", key_type=str, value_type=Reading)
hottest = alarms.Table("hottest", default=float)
measured = 0


@sensors.timer(0.01)
async def measure() -> None:
    global measured
    measured += 1
    place = random.choice(["cellar", "attic", "kitchen"])
    celsius = round(random.uniform(5, 40), 1)
    await readings.send(key=place, value=Reading(place, celsius))


@alarms.agent(heard)
async def watch(stream: faust.Stream[Reading]) -> None:
    async for reading in stream:
        hottest[reading.place] = max(hottest[reading.place], reading.celsius)


async def main() -> None:
    async with sensors, alarms:
        while measured < 100 or len(hottest.keys()) < 3:
            await asyncio.sleep(0.05)
        for place, celsius in sorted(hottest.items()):
            print(f"{place:8} {celsius:4.1f} °C")


if __name__ == "__main__":
    asyncio.run(main())
