"""A leaderboard that every worker knows whole: scores in a global table.

python examples/leaderboard.py worker        # as many as you like, in terminals of their own
python examples/leaderboard.py play          # in another one: a thousand games
"""

import random

import faust
from faust.cli import option

PLAYERS = ["ann", "bob", "cid", "dora", "emil"]

app = faust.App("leaderboard", broker="local://")
games = app.topic("games", key_type=str, value_type=int, internal=True)
scores = app.GlobalTable("scores", default=int)


@app.agent(games)
async def add_points(stream):
    """Add up the points of each player; games are keyed by player."""
    async for player, points in stream.items():
        scores[player] += points


@app.timer(1.0)
async def show():
    """Print the three best, on every worker."""
    best = sorted(scores.items(), key=lambda item: -item[1])[:3]
    if best:
        print(", ".join(f"{player} {points}" for player, points in best))


@app.command(option("--number", default=1000, help="How many games."))
async def play(self, number):
    """Play games."""
    await games.maybe_declare()
    for _ in range(number):
        player = random.choice(PLAYERS)
        await games.send(key=player, value=len(player) + PLAYERS.index(player))


if __name__ == "__main__":
    app.main()
