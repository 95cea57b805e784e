"""Join orders with the customers who made them: two streams, brought together by key, and a table that remembers.

python examples/join_by_hand.py worker
python examples/join_by_hand.py shop     # in another terminal: customers move house and order things

An order may come before its customer is known: it waits in a second table.
"""

import faust
from faust.cli import option

app = faust.App("join-by-hand", broker="local://")


class Customer(faust.Record):
    id: str
    city: str


class Order(faust.Record):
    customer_id: str
    item: str


class Delivery(faust.Record):
    item: str
    city: str


customers = app.topic("customers", key_type=str, value_type=Customer, internal=True)
orders = app.topic("orders", key_type=str, value_type=Order, internal=True)
deliveries = app.topic("deliveries", key_type=str, value_type=Delivery, internal=True)

cities = app.Table("cities", default=str)
waiting = app.Table("waiting", default=list)


async def deliver(customer_id, item, city):
    """Send what the join has made."""
    await deliveries.send(key=customer_id, value=Delivery(item=item, city=city))


@app.agent(customers)
async def remember(stream):
    """The left side: where customers live now. Both topics have the same key, hence the same partitions."""
    async for customer in stream.group_by(Customer.id):
        cities[customer.id] = customer.city
        for item in waiting.pop(customer.id, []):
            await deliver(customer.id, item, customer.city)


@app.agent(orders)
async def match(stream):
    """The right side: an order is delivered to where its customer lives."""
    async for order in stream.group_by(Order.customer_id):
        city = cities[order.customer_id]
        if city:
            await deliver(order.customer_id, order.item, city)
        else:
            waiting[order.customer_id] = [*waiting[order.customer_id], order.item]


@app.agent(deliveries)
async def announce(stream):
    """Print what goes where."""
    async for delivery in stream:
        print(f"{delivery.item} goes to {delivery.city}")


@app.command(option("--number", default=100, help="How many customers."))
async def shop(self, number):
    """Order first, register afterwards, order again."""
    for topic in (customers, orders):
        await topic.maybe_declare()
    for n in range(number):
        await orders.send(key=f"c{n}", value=Order(customer_id=f"c{n}", item=f"early {n}"))
    for n in range(number):
        await customers.send(key=f"c{n}", value=Customer(id=f"c{n}", city=f"city {n % 7}"))
    for n in range(number):
        await orders.send(key=f"c{n}", value=Order(customer_id=f"c{n}", item=f"late {n}"))


if __name__ == "__main__":
    app.main()
