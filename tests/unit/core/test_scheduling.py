"""Fair choice among topics and partitions."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from time import perf_counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from faust._core.scheduling import FairQueue, RoundRobin
from faust.messages import TP

TPS = [TP(topic, partition) for topic in "abc" for partition in range(3)]

tps = st.sampled_from(TPS)


def drain(queue: FairQueue[int]) -> list[tuple[TP, int]]:
    """Pop until nothing is left."""
    popped = []
    while (pair := queue.pop()) is not None:
        popped.append(pair)
    return popped


def test_vector_of_the_specification() -> None:
    """The vector of transport.md 4.1 comes out in the order shown there."""
    records = {
        TP("a", 0): [1, 2, 3],
        TP("a", 1): [10, 20],
        TP("b", 0): [100, 200, 300, 400],
        TP("c", 5): [7],
    }
    turns = [f"{tp.topic}{tp.partition}:{record}" for tp, record in RoundRobin().iterate(records)]
    assert " ".join(turns) == "a0:1 b0:100 c5:7 a1:10 b0:200 a0:2 b0:300 a1:20 b0:400 a0:3"


def test_nothing_in_nothing_out() -> None:
    """No records, or only empty lists, give no turns."""
    assert list(RoundRobin().iterate({})) == []
    assert list(RoundRobin().iterate({TP("a", 0): []})) == []


@given(st.dictionaries(tps, st.lists(st.integers(), max_size=8)))
def test_round_robin_yields_everything_in_partition_order(records: dict[TP, list[int]]) -> None:
    """Every record comes once, and the order inside its partition is kept."""
    seen = defaultdict(list)
    for tp, record in RoundRobin().iterate(records):
        seen[tp].append(record)
    assert seen == {tp: items for tp, items in records.items() if items}


@given(st.lists(st.tuples(tps, st.integers()), max_size=80))
def test_full_rounds_are_fair(items: list[tuple[TP, int]]) -> None:
    """Between two turns of a partition (topic) all others that wait get one."""
    queue: FairQueue[int] = FairQueue()
    for tp, item in items:
        queue.put(tp, item)
    order = [tp for tp, _ in drain(queue)]
    for i, tp in enumerate(order):
        # whoever waits now and after the next turn of the same key must come in between
        for scope, same in (("partition", tp), ("topic", tp.topic)):
            key = _key(scope)
            following = [j for j in range(i + 1, len(order)) if key(order[j]) == same]
            if not following:
                continue
            between = {key(order[j]) for j in range(i + 1, following[0])}
            waiting = {
                key(other)
                for other in set(order[i + 1 :])
                if key(other) != same and (scope == "topic" or other.topic == tp.topic)
            }
            assert waiting <= between


def _key(scope: str) -> Callable[[TP], object]:
    return (lambda tp: tp) if scope == "partition" else (lambda tp: tp.topic)


def test_put_front_comes_before_what_waits() -> None:
    """An item that comes back is the next one of its partition."""
    queue: FairQueue[int] = FairQueue()
    queue.put(TP("a", 0), 2)
    queue.put_front(TP("a", 0), 1)
    queue.put_front(TP("a", 1), 10)
    assert [item for _, item in drain(queue)] == [1, 10, 2]


def test_put_front_takes_no_turn_from_others() -> None:
    """A partition whose item is handed back again and again does not starve its neighbours."""
    queue: FairQueue[int] = FairQueue()
    for tp in (TP("a", 0), TP("a", 1), TP("b", 0)):
        queue.put(tp, 0)
    seen = []
    for _ in range(6):
        pair = queue.pop()
        assert pair is not None
        seen.append(pair[0])
        queue.put_front(*pair)
    names = [f"{tp.topic}{tp.partition}" for tp in seen]
    assert names == ["a0", "b0", "a1", "b0", "a0", "b0"]


def test_quiet_topic_is_not_drowned() -> None:
    """One item of a quiet topic is taken second, however many wait in the busy topic."""
    queue: FairQueue[int] = FairQueue()
    for partition in range(64):
        for item in range(10):
            queue.put(TP("busy", partition), item)
    queue.put(TP("quiet", 0), 1)
    assert queue.pop() == (TP("busy", 0), 0)
    assert queue.pop() == (TP("quiet", 0), 1)


def test_discard_and_clear() -> None:
    """What is discarded is gone and counted; the others keep their turns."""
    queue: FairQueue[int] = FairQueue()
    for tp in (TP("a", 0), TP("a", 0), TP("a", 1), TP("b", 0)):
        queue.put(tp, 1)
    assert queue.discard(TP("a", 0)) == 2
    assert queue.discard(TP("a", 0)) == 0
    assert queue.discard(TP("nowhere", 0)) == 0
    assert (len(queue), queue.waiting(TP("a", 0)), queue.waiting(TP("a", 1))) == (2, 0, 1)
    assert [tp for tp, _ in drain(queue)] == [TP("a", 1), TP("b", 0)]
    queue.put(TP("a", 0), 1)
    queue.clear()
    assert (len(queue), queue.pop()) == (0, None)


class FairQueueMachine(RuleBasedStateMachine):
    """Puts, pops and discards in any order, beside lists and who is owed a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.model: dict[TP, deque[int]] = {tp: deque() for tp in TPS}
        self.next_item = 0
        # who has waited without pause since the last turn of the key and was not served yet
        self.owed: dict[TP, set[TP]] = {}
        self.owed_topics: dict[str, set[str]] = {}

    @rule(tp=tps, front=st.booleans(), count=st.integers(1, 3))
    def put(self, tp: TP, front: bool, count: int) -> None:
        for _ in range(count):
            self.next_item += 1
            if front:
                self.queue.put_front(tp, self.next_item)
                self.model[tp].appendleft(self.next_item)
            else:
                self.queue.put(tp, self.next_item)
                self.model[tp].append(self.next_item)

    @rule(times=st.integers(1, 6))
    def pop(self, times: int) -> None:
        for _ in range(times):
            self._pop()

    def _pop(self) -> None:
        pair = self.queue.pop()
        if pair is None:
            assert not any(self.model.values())
            return
        tp, item = pair
        assert self.model[tp].popleft() == item
        assert not self.owed.get(tp), "a neighbour waited all the time and got no turn"
        assert not self.owed_topics.get(tp.topic), "a topic waited all the time and got no turn"
        self._settle()
        for owed in self.owed.values():
            owed.discard(tp)
        for owed_topics in self.owed_topics.values():
            owed_topics.discard(tp.topic)
        waiting = {other for other, items in self.model.items() if items}
        self.owed[tp] = {other for other in waiting if other.topic == tp.topic and other != tp}
        self.owed_topics[tp.topic] = {other.topic for other in waiting} - {tp.topic}

    def _settle(self) -> None:
        """Nobody is owed a turn who had nothing left for a moment."""
        waiting = {other for other, items in self.model.items() if items}
        for owed in self.owed.values():
            owed.intersection_update(waiting)
        for owed_topics in self.owed_topics.values():
            owed_topics.intersection_update(other.topic for other in waiting)

    @rule(tp=tps)
    def discard(self, tp: TP) -> None:
        assert self.queue.discard(tp) == len(self.model[tp])
        self.model[tp].clear()
        self._settle()

    @invariant()
    def counts(self) -> None:
        assert len(self.queue) == sum(map(len, self.model.values()))
        for tp, items in self.model.items():
            assert self.queue.waiting(tp) == len(items)


TestFairQueueMachine = FairQueueMachine.TestCase
TestFairQueueMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def test_cost_does_not_grow_with_what_waits() -> None:
    """A turn among ten thousand partitions costs about the same as among a hundred."""

    def turn(partitions: int) -> float:
        queue: FairQueue[int] = FairQueue()
        for partition in range(partitions):
            for item in range(3):
                queue.put(TP("t", partition), item)
        best = 1e9
        for _ in range(5):
            started = perf_counter()
            for _ in range(2000):
                pair = queue.pop()
                assert pair is not None
                queue.put(*pair)
            best = min(best, perf_counter() - started)
        return best

    assert turn(10_000) < 20 * turn(100)


def test_repr_says_how_much_waits() -> None:
    """The representation counts items and topics."""
    queue: FairQueue[int] = FairQueue()
    queue.put(TP("a", 0), 1)
    assert repr(queue) == "<FairQueue 1 items of 1 topics>"
