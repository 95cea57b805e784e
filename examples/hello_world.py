"""Greet everybody who is named on a topic; a timer keeps naming somebody.

python examples/hello_world.py worker
python examples/hello_world.py send @greet '"Ann"'      # in another terminal; values travel as JSON
"""

import faust

app = faust.App("hello-world", broker="local://")
names = app.topic("names", value_type=str, internal=True)  # internal: this app creates it


@app.agent(names)
async def greet(names):
    """Print one greeting per name."""
    async for name in names:
        print(f"Hello, {name}!")


@app.timer(1.0)
async def name_somebody():
    """Name the world, once a second."""
    await names.send(value="world")


if __name__ == "__main__":
    app.main()
