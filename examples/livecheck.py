"""A shop whose orders are tested while it works.

python examples/livecheck.py worker -l info        # the shop; it takes an order every half second
python examples/livecheck.py livecheck -l info     # the tests; in another terminal
"""

from itertools import count

import faust
from faust.livecheck import Case, Signal

app = faust.App("livecheck-shop", broker="local://", web_enabled=False)
livecheck = app.LiveCheck()
numbers = count(1)


class Order(faust.Record):
    id: str
    price: float


orders = app.topic("shop-orders", key_type=str, value_type=Order, internal=True)
paid = app.topic("shop-paid", key_type=str, value_type=Order, internal=True)


@livecheck.case(probability=0.5, warn_stalled_after=60.0)
class test_order(Case):  # noqa: N801 - named as tests are
    """An order that is made is paid and shipped."""

    order_paid: Signal[Order]
    order_shipped: Signal[None]

    async def run(self, order_id: str) -> None:
        order = await self.order_paid.wait(timeout=10.0)
        assert order.id == order_id
        await self.order_shipped.wait(timeout=10.0)


@app.agent(orders)
async def pay(stream: faust.Stream[Order]) -> None:
    async for order in stream:
        await test_order.order_paid.send(order)
        await paid.send(key=order.id, value=order)


@app.agent(paid)
async def ship(stream: faust.Stream[Order]) -> None:
    async for order in stream:
        print(f"shipped {order.id}")
        await test_order.order_shipped.send()


@app.timer(0.5)
async def make_an_order() -> None:
    order = Order(id=f"order-{next(numbers)}", price=9.99)
    async with test_order.maybe_trigger(None, order.id):
        await orders.send(key=order.id, value=order)


if __name__ == "__main__":
    app.main()
