"""What members and leader tell each other, and what a worker knows of its assignment."""

from __future__ import annotations

import itertools
import json
import logging
import random
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faust.assignor import PartitionAssignor
from faust.assignor.owners import OwnersMap, pack, unpack
from faust.assignor.wire import Holdings, WireError, decode_assignment, decode_subscription
from faust.messages import TP
from faust.transport.base import Assignor, MemberAssignment, MemberSubscription

LEADER, GLOBAL, TABLE, SOURCE = (
    "as-__assignor-__leader",
    "as-glob-changelog",
    "as-tbl-changelog",
    "src",
)
COUNTS = {SOURCE: 4, TABLE: 4, GLOBAL: 2, LEADER: 1}

FRESH = (
    b'{"assignment":{"actives":{},"standbys":{}},"url":"http://me:6066",'
    b'"changelog_distribution":{},"external_topic_distribution":{},"topic_groups":{}'
)

# Answers of a leader of faust-streaming 0.15.3 to two fresh members, as it sent them (uncompressed).
SHARED = (
    '"changelog_distribution":{"http://w1:6066":{"as-glob-changelog":[0,1],'
    '"as-tbl-changelog":[0,2]},"http://w2:6066":{"as-glob-changelog":[0,1],'
    '"as-tbl-changelog":[1,3]}},"external_topic_distribution":{"http://w1:6066":'
    '{"as-__assignor-__leader":[0],"src":[0,2]},"http://w2:6066":{"as-__assignor-__leader":[],'
    '"src":[1,3]}},"topic_groups":{"as-__assignor-__leader":0,"as-glob-changelog":1,'
    '"as-tbl-changelog":2,"src":2}}'
)
ANSWERS = {
    "m1": '{"assignment":{"actives":{"as-__assignor-__leader":[0],"as-glob-changelog":[0,1],'
    '"as-tbl-changelog":[0,2],"src":[0,2]},"standbys":{"as-__assignor-__leader":[],'
    '"as-glob-changelog":[1],"as-tbl-changelog":[1,3],"src":[1,3]}},"url":"http://w1:6066",'
    + SHARED,
    "m2": '{"assignment":{"actives":{"as-__assignor-__leader":[],"as-glob-changelog":[0,1],'
    '"as-tbl-changelog":[1,3],"src":[1,3]},"standbys":{"as-__assignor-__leader":[0],'
    '"as-glob-changelog":[0],"as-tbl-changelog":[0,2],"src":[0,2]}},"url":"http://w2:6066",'
    + SHARED,
}
BROKER_LEVEL = {
    "m1": {LEADER: [0], GLOBAL: [0, 1, 1], TABLE: [0, 2, 1, 3], SOURCE: [0, 2]},
    "m2": {LEADER: [], GLOBAL: [0, 1, 0], TABLE: [1, 3, 0, 2], SOURCE: [1, 3]},
}


def worker(url: str = "http://me:6066", replicas: int = 1, **names: Any) -> PartitionAssignor:
    """Make the assignor of a worker with one table and one global table."""
    topics: dict[str, Any] = {
        "changelog_topics": lambda: {TABLE, GLOBAL},
        "global_topics": lambda: {GLOBAL},
    }
    return PartitionAssignor(canonical_url=url, replicas=replicas, **(topics | names))


def join(assignor: PartitionAssignor, *topics: str) -> MemberSubscription:
    """Say what a worker says when it joins; by default for all topics."""
    wanted = topics or tuple(sorted(COUNTS))
    return MemberSubscription(wanted, assignor.subscription_user_data(frozenset(wanted)))


def old(said: MemberSubscription) -> MemberSubscription:
    """Take out of a subscription what faust-streaming does not say."""
    plain = json.loads(said.user_data)
    del plain["compact"]
    return MemberSubscription(said.topics, json.dumps(plain).encode())


def rebalance(
    workers: Mapping[str, PartitionAssignor], counts: Mapping[str, int] = COUNTS
) -> Mapping[str, MemberAssignment]:
    """Let the first worker lead, and tell everybody."""
    leader = next(iter(workers.values()))
    answers = leader.assign({name: join(each) for name, each in workers.items()}, counts)
    for name, each in workers.items():
        each.on_assignment(answers[name], 1)
    return answers


def two() -> dict[str, PartitionAssignor]:
    """Two fresh workers."""
    return {"m1": worker("http://w1:6066"), "m2": worker("http://w2:6066")}


# -- the wire


def test_is_an_assignor_of_the_transport() -> None:
    """The class is what the transport wants, under the name and version of the reference."""
    assignor: Assignor = worker()
    assert (assignor.name, assignor.version) == ("faust", 4)


def test_fresh_subscription_to_the_byte() -> None:
    """A fresh member says the bytes of recovery-rebalance.md section 3, and that it understands packed maps."""
    assert worker().subscription_user_data(frozenset(COUNTS)) == FRESH + b',"compact":true}'


def test_answers_to_the_byte() -> None:
    """The leader answers a member of faust-streaming exactly as a leader of faust-streaming, compressed with zlib."""
    answers = worker().assign({name: old(join(each)) for name, each in two().items()}, COUNTS)
    assert {name: zlib.decompress(each.user_data).decode() for name, each in answers.items()} == (
        ANSWERS
    )


def test_broker_level_partitions() -> None:
    """On the broker's level are actives, then standbys of changelogs, as old members insist."""
    answers = rebalance(two())
    assert {name: each.partitions for name, each in answers.items()} == BROKER_LEVEL
    assert list(answers["m1"].partitions) == sorted(COUNTS)


def test_next_subscription_claims_what_was_assigned() -> None:
    """At the next join a member says what it held, standbys of source topics included."""
    workers = two()
    rebalance(workers)
    said = json.loads(join(workers["m1"]).user_data)
    assert said == {
        "assignment": json.loads(ANSWERS["m1"])["assignment"],
        "url": "http://w1:6066",
        "changelog_distribution": {},
        "external_topic_distribution": {},
        "topic_groups": {},
        "compact": True,
    }
    assert list(said) == [*json.loads(FRESH + b"}"), "compact"]


def test_only_what_is_still_subscribed_is_claimed() -> None:
    """A topic that is no longer subscribed is not claimed."""
    workers = two()
    rebalance(workers)
    said = json.loads(workers["m1"].subscription_user_data(frozenset({SOURCE})))
    assert said["assignment"] == {"actives": {SOURCE: [0, 2]}, "standbys": {SOURCE: [1, 3]}}


def test_cold_standbys_are_said_when_there_are_some() -> None:
    """A standby far from its changelog's end is named in ``catching_up``, which faust-streaming leaders ignore; and it is read."""
    cold: set[TP] = set()
    workers = two() | {"m1": worker("http://w1:6066", is_warm=lambda tp: tp not in cold)}
    rebalance(workers, COUNTS)
    lagging = min(tp for tp in workers["m1"].assigned_standbys() if tp.topic == TABLE)
    plain = join(workers["m1"])
    cold.add(lagging)
    said = join(workers["m1"])
    assert b"catching_up" not in plain.user_data
    assert json.loads(said.user_data)["catching_up"] == {TABLE: [lagging.partition]}
    assert decode_subscription(said.user_data).catching_up == {TABLE: [lagging.partition]}
    assert decode_subscription(said.user_data).assignment == (
        decode_subscription(plain.user_data).assignment
    )


def test_an_old_members_subscription_is_understood() -> None:
    """Old members repeat the cluster's map when they join, and new fields do no harm."""
    old = json.loads(ANSWERS["m1"]) | {"novelty": 1}
    data = decode_subscription(json.dumps(old).encode())
    assert data.assignment.actives[SOURCE] == [0, 2]
    assert data.topic_groups[SOURCE] == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"url":"x"}', FRESH.replace(b'"http://me:6066"', b"7")],
)
def test_nonsense_is_refused_with_its_first_bytes(data: bytes) -> None:
    """Data that cannot be read raises an error that shows where it begins."""
    with pytest.raises(WireError, match="first bytes"):
        decode_subscription(data)
    with pytest.raises(WireError, match="first bytes"):
        decode_assignment(data)
    with pytest.raises(WireError, match="first bytes"):
        decode_assignment(zlib.compress(data))


lists = st.dictionaries(st.text(max_size=8), st.lists(st.integers(0, 99), max_size=4), max_size=3)


@given(lists, lists, st.text(max_size=20))
@settings(max_examples=50)
def test_round_trip(actives: Any, standbys: Any, url: str) -> None:
    """Whatever the names of topics, what a member says is what the leader reads."""
    assignor = PartitionAssignor(canonical_url=url)
    given = PartitionAssignor(canonical_url=url)
    leader_said = {
        "assignment": {"actives": actives, "standbys": standbys},
        "url": url,
        "changelog_distribution": {},
        "external_topic_distribution": {},
        "topic_groups": {},
    }
    answer = zlib.compress(json.dumps(leader_said).encode())
    given.on_assignment(MemberAssignment(actives, answer), 1)
    said = decode_subscription(given.subscription_user_data(frozenset({*actives, *standbys})))
    assert said.assignment == Holdings(actives, standbys)
    assert said.url == url
    assert assignor.assigned_actives() == set()


# -- what a worker knows


def test_roles() -> None:
    """A worker knows its actives and standbys; a source's standbys are no partitions of its own."""
    workers = two()
    rebalance(workers)
    first = workers["m1"]
    assert first.assigned_actives() == {
        TP(LEADER, 0), TP(GLOBAL, 0), TP(GLOBAL, 1), TP(TABLE, 0), TP(TABLE, 2), TP(SOURCE, 0),
        TP(SOURCE, 2),
    }  # fmt: skip
    assert first.assigned_standbys() == {TP(GLOBAL, 1), TP(TABLE, 1), TP(TABLE, 3)}
    assert first.is_active(TP(TABLE, 0))
    assert not first.is_active(TP(TABLE, 1))
    assert first.is_standby(TP(TABLE, 1))
    assert not first.is_standby(TP(SOURCE, 1))
    assert first.group_for_topic(SOURCE) == first.group_for_topic(TABLE) == 2
    with pytest.raises(KeyError, match="nowhere"):
        first.group_for_topic("nowhere")


def test_maps_for_the_router() -> None:
    """The maps tell which worker is active for which partitions of tables and other topics."""
    workers = two()
    rebalance(workers)
    first = workers["m1"]
    assert first.tables_metadata() == json.loads(ANSWERS["m1"])["changelog_distribution"]
    assert first.table_metadata(TABLE) == {
        "http://w1:6066": {TABLE: [0, 2]},
        "http://w2:6066": {TABLE: [1, 3]},
    }
    assert first.table_metadata("nowhere") == {}
    assert first.external_topics_metadata()["http://w2:6066"] == {LEADER: [], SOURCE: [1, 3]}
    assert first.owner_url(TP(TABLE, 0)) == "http://w1:6066"
    assert first.owner_url(TP(TABLE, 1)) == "http://w2:6066"
    assert first.owner_url(TP(SOURCE, 3)) == "http://w2:6066"
    with pytest.raises(KeyError):
        first.owner_url(TP(TABLE, 4))


def test_a_global_table_is_here() -> None:
    """Every worker finds all keys of a global table on itself (BUG-R25)."""
    workers = two()
    rebalance(workers)
    for each in workers.values():
        assert each.owner_url(TP(GLOBAL, 0)) == each.owner_url(TP(GLOBAL, 1)) == each.canonical_url


def test_before_the_first_assignment() -> None:
    """A worker that was given nothing yet has nothing and knows nobody."""
    assignor = worker()
    assert assignor.assigned_actives() == assignor.assigned_standbys() == set()
    assert not assignor.is_active(TP(SOURCE, 0))
    assert assignor.tables_metadata() == assignor.external_topics_metadata() == {}


def test_forget() -> None:
    """What the group has given away is neither active nor claimed again."""
    workers = two()
    rebalance(workers)
    workers["m1"].forget()
    assert workers["m1"].assigned_actives() == set()
    assert json.loads(join(workers["m1"]).user_data)["assignment"] == {
        "actives": {},
        "standbys": {},
    }


def test_what_is_returned_can_be_changed() -> None:
    """Callers that change the sets they get change nothing here."""
    workers = two()
    rebalance(workers)
    workers["m1"].assigned_actives().clear()
    assert workers["m1"].is_active(TP(SOURCE, 0))


# -- the leader


def test_stickiness_over_the_wire() -> None:
    """A third worker that joins, and leaves, moves no more than balance needs."""
    workers = two()
    counts = {SOURCE: 12, TABLE: 12, GLOBAL: 2, LEADER: 1}
    rebalance(workers, counts)
    before = {name: each.assigned_actives() for name, each in workers.items()}
    rebalance(workers, counts)
    assert before == {name: each.assigned_actives() for name, each in workers.items()}
    workers["m3"] = worker("http://w3:6066")
    rebalance(workers, counts)
    for name, held in before.items():
        now = workers[name].assigned_actives()
        assert now <= held
        assert sum(tp.topic == SOURCE for tp in held - now) == 2
    third = workers.pop("m3").assigned_actives()
    kept = {name: each.assigned_actives() for name, each in workers.items()}
    rebalance(workers, counts)
    for name, held in kept.items():
        now = workers[name].assigned_actives()
        assert held <= now
        assert now - held <= third


def test_the_first_joiner_keeps_working_when_a_second_comes() -> None:
    """Global topics, of which everybody holds everything, do not spoil the claims of their group."""
    counts = {SOURCE: 4, GLOBAL: 4}  # one group; "as-glob..." sorts before "src"
    workers = two()
    rebalance(workers, counts)
    first = workers["m1"].assigned_actives()
    workers = {"m0": worker("http://w0:6066"), **workers}
    rebalance(workers, counts)
    assert {tp for tp in workers["m1"].assigned_actives() if tp.topic == SOURCE} <= first


def test_a_group_of_global_topics_only_is_sticky() -> None:
    """Who owned a partition of a global table is known by what it was not a standby of."""
    workers = {"m2": worker("http://w2:6066"), "m3": worker("http://w3:6066")}
    counts = {GLOBAL: 4}
    rebalance(workers, counts)
    before = {name: each.assigned_standbys() for name, each in workers.items()}
    workers["m1"] = worker("http://w1:6066")  # sorts first
    rebalance(workers, counts)
    for name, followed in before.items():
        assert followed <= workers[name].assigned_standbys()


def test_synchronized_topics_are_followed_whole() -> None:
    """Of a synchronized global table also the own partitions are followed."""
    assignor = worker(synchronized_topics=lambda: {GLOBAL})
    rebalance({"m1": assignor})
    assert assignor.assigned_standbys() == {TP(GLOBAL, 0), TP(GLOBAL, 1)}


def test_without_replicas() -> None:
    """Without replicas only the global table has standbys."""
    workers = {"m1": worker("http://w1:6066", 0), "m2": worker("http://w2:6066", 0)}
    rebalance(workers)
    assert {tp.topic for tp in workers["m1"].assigned_standbys()} == {GLOBAL}


def test_each_gets_only_what_it_subscribes_to() -> None:
    """Topics go to their subscribers only, and a member without topics gets an empty answer."""
    leader = worker()
    answers = leader.assign(
        {
            "m1": join(leader, SOURCE, "x"),
            "m2": join(leader, SOURCE),
            "m3": MemberSubscription((), FRESH),
        },
        {SOURCE: 4, "x": 4},
    )
    assert answers["m1"].partitions.keys() == {SOURCE, "x"}
    assert answers["m1"].partitions["x"] == [0, 1, 2, 3]
    assert answers["m2"].partitions.keys() == {SOURCE}
    assert answers["m3"].partitions == {}
    assert decode_assignment(answers["m3"].user_data).topic_groups == {SOURCE: 0, "x": 0}


def test_order_of_members_does_not_matter() -> None:
    """The division depends on the members' URLs, not on the order in which the broker lists them."""
    leader, other = two().values()
    members = {"z": join(leader), "a": join(other)}
    there = leader.assign(members, COUNTS)
    back = leader.assign(dict(reversed(members.items())), COUNTS)
    assert there == back
    assert there["z"].partitions == BROKER_LEVEL["m1"]


def test_missing_topics_are_left_out_and_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """Topics that do not exist yet, global changelogs too, do not keep the group from forming (BUG-R6)."""
    assignor = worker()
    with caplog.at_level(logging.WARNING):
        rebalance({"m1": assignor}, {SOURCE: 2, TABLE: 0})
    assert assignor.missing_topics == {GLOBAL, LEADER, TABLE}
    assert assignor.assigned_actives() == {TP(SOURCE, 0), TP(SOURCE, 1)}
    assert f"{LEADER}, {GLOBAL}, {TABLE}" in caplog.text
    rebalance({"m1": assignor})
    assert assignor.missing_topics == frozenset()
    assert len(assignor.assigned_actives()) == 11


def test_two_workers_with_one_url(caplog: pytest.LogCaptureFixture) -> None:
    """Workers that announce one URL get their partitions all the same, with a warning (BUG-R2)."""
    workers = {"m1": worker("http://same:6066"), "m2": worker("http://same:6066")}
    with caplog.at_level(logging.WARNING):
        answers = rebalance(workers)
    assert {name: each.partitions for name, each in answers.items()} == BROKER_LEVEL
    assert workers["m1"].table_metadata(TABLE) == {"http://same:6066": {TABLE: [0, 1, 2, 3]}}
    assert "2 workers of this group announce the URL http://same:6066" in caplog.text
    kept = {name: each.assigned_actives() for name, each in workers.items()}
    rebalance(workers)
    assert kept == {name: each.assigned_actives() for name, each in workers.items()}


def test_a_member_that_cannot_be_understood(caplog: pytest.LogCaptureFixture) -> None:
    """A member whose data cannot be read is named in the log and gets its share as a new one."""
    leader = worker("http://w1:6066")
    answers = leader.assign(
        {"m1": join(leader), "odd": MemberSubscription((SOURCE,), b"\x00\x01")}, COUNTS
    )
    assert len(answers["odd"].partitions[SOURCE]) == 2
    assert "Member odd joined with data that cannot be read" in caplog.text
    assert decode_assignment(answers["m1"].user_data).external_topic_distribution.keys() == {
        "http://w1:6066"
    }


# -- answers that are not right


def test_duplicates_on_the_brokers_level_count_once() -> None:
    """A partition that is listed twice is held once (BUG-R5)."""
    assignor = worker("http://w1:6066")
    answer = zlib.compress(ANSWERS["m1"].encode())
    assignor.on_assignment(MemberAssignment(BROKER_LEVEL["m1"], answer), 7)
    assert len(assignor.assigned_actives() | assignor.assigned_standbys()) == 9


def test_an_answer_to_somebody_else(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong URL in the answer is logged, and the worker goes on (BUG-R4)."""
    assignor = worker("http://other:1")
    answer = zlib.compress(ANSWERS["m1"].encode())
    assignor.on_assignment(MemberAssignment(BROKER_LEVEL["m1"], answer), 7)
    assert assignor.is_active(TP(SOURCE, 0))
    assert "answered to http://w1:6066, but this worker is http://other:1" in caplog.text


def test_contradicting_partitions(caplog: pytest.LogCaptureFixture) -> None:
    """Where roles and partitions differ the partitions win, and the difference is logged (BUG-R4)."""
    assignor = worker("http://w1:6066")
    answer = zlib.compress(ANSWERS["m1"].encode())
    assignor.on_assignment(MemberAssignment({TABLE: [0, 1], "new": [5], SOURCE: [0]}, answer), 7)
    assert assignor.assigned_actives() == {TP(TABLE, 0), TP("new", 5), TP(SOURCE, 0)}
    assert assignor.assigned_standbys() == {TP(TABLE, 1)}
    assert f"{TABLE}[2]" in caplog.text
    assert "new[5]" in caplog.text
    assert f"{TABLE}[3]" not in caplog.text  # a standby that is not read is no contradiction


@pytest.mark.parametrize("user_data", [b"", b"nonsense", zlib.compress(b"{}")])
def test_an_answer_that_cannot_be_read(user_data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An unreadable answer is logged as an error; what is assigned is active and claimed again."""
    assignor = worker()
    assignor.on_assignment(MemberAssignment({SOURCE: [3, 1, 1]}, user_data), 7)
    assert assignor.assigned_actives() == {TP(SOURCE, 1), TP(SOURCE, 3)}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    claimed = decode_subscription(assignor.subscription_user_data(frozenset({SOURCE})))
    assert claimed.assignment == Holdings({SOURCE: [1, 3]})


def test_negative_replicas_are_refused() -> None:
    """A negative number of standbys is an error that names the argument."""
    with pytest.raises(ValueError, match="replicas"):
        worker(replicas=-1)


# -- packed maps

numbers = st.frozensets(st.integers(0, 9), max_size=6).map(sorted) | st.just([0, 1, 2])
entries = st.dictionaries(st.sampled_from(["a", "b", "c"]), numbers, max_size=3)
urls = st.lists(st.text(max_size=3), unique=True, max_size=6)


@given(urls, st.data())
def test_any_map_comes_back(names: list[str], data: st.DataObject) -> None:
    """Whatever the division, unpacked is what was packed: shared, unowned and unread partitions, nobody at all."""
    both = [{name: data.draw(entries) for name in names} for _ in range(2)]
    owners, *rests = pack(*both)
    unpacked = unpack(msgspec.json.decode(msgspec.json.encode(owners), type=OwnersMap))
    for whole, packed, rest in zip(both, unpacked, rests, strict=True):
        for url, topics in rest.items():
            assert not topics.keys() & packed[url].keys()
            packed[url] |= topics
        assert packed == whole


@pytest.mark.parametrize("count", [254, 255, 300])
def test_indices_of_one_byte_or_two(count: int) -> None:
    """From 255 workers on an index takes two bytes."""
    tables = {f"http://w{number}": {"t": [number, number + count]} for number in range(count)}
    owners, *rests = pack(tables, {url: {} for url in tables})
    assert len(owners.layouts[0].owners) == 2 * count * (1 if count < 255 else 2)
    assert (unpack(owners)[0], rests) == (tables, [{}, {}])


@pytest.mark.parametrize(
    "owners",
    [
        {"urls": ["a"], "layouts": [{"owners": b"\1", "changelogs": ["t"]}]},
        {"urls": ["a"], "layouts": [{"owners": b"\0", "members": []}]},
        {"urls": ["a"], "layouts": [{"owners": b"\2", "members": [0, 2]}]},
        {"urls": ["a"] * 300, "layouts": [{"owners": b"\0"}]},
        {"urls": ["a"], "layouts": [{"owners": "?"}]},
        {"urls": ["a"], "layouts": [{"everybody": "all"}]},
        {"urls": ["a"], "layouts": [{"everybody": 10**12}]},
        {"urls": ["a"], "layouts": [{"everybody": 1, "members": [1]}]},
        {"urls": 7},
    ],
)
def test_packed_maps_that_contradict_themselves(owners: dict[str, Any]) -> None:
    """What is no map of the group is an error of the wire, never another one."""
    said = {"assignment": {}, "url": "u", "owners": owners}
    with pytest.raises(WireError):
        decode_assignment(zlib.compress(msgspec.json.encode(said)))


def test_old_and_new_members_get_the_same_map() -> None:
    """A member that does not understand packed maps gets them spelled out; what it says is the same."""
    workers = two() | {"m3": worker("http://w3:6066")}
    joins = {name: join(each) for name, each in workers.items()}
    joins["m2"] = old(joins["m2"])
    answers = workers["m1"].assign(joins, COUNTS)
    assert b'"owners"' not in zlib.decompress(answers["m2"].user_data)
    assert b'"owners"' in zlib.decompress(answers["m1"].user_data)
    read = [decode_assignment(answers[name].user_data) for name in workers]
    for each in read:
        assert each.changelog_distribution == read[1].changelog_distribution
        assert each.external_topic_distribution == read[1].external_topic_distribution
    assert read[0].changelog_distribution["http://w3:6066"][GLOBAL] == [0, 1]


def test_a_large_group() -> None:
    """What a group of 200 workers and 2,000 partitions writes into one record stays below what Kafka takes by default.

    Also after many have come and gone, when nothing about the division is regular any more (recovery-rebalance.md, BUG-R3).
    """
    names = iter(range(1000))
    workers = {
        f"m{number}": worker(f"http://worker-{number}.example.org:6066")
        for number in itertools.islice(names, 200)
    }
    counts = {SOURCE: 2000, TABLE: 2000, GLOBAL: 10, LEADER: 1}
    answers = rebalance(workers, counts)
    rng = random.Random(6)
    for _ in range(3):
        for name in rng.sample(sorted(workers), 60):
            del workers[name]
        rebalance(workers, counts)
        for _ in range(60):
            number = next(names)
            workers[f"m{number}"] = worker(f"http://worker-{number}.example.org:6066")
        answers = rebalance(workers, counts)
    said = {name: join(each) for name, each in workers.items()}
    assert max(len(each.user_data) for each in said.values()) < 1_000
    assert max(len(each.user_data) for each in answers.values()) < 4_000
    assert sum(map(size_in_group, said.values(), answers.values())) < 850_000  # of 1,048,588


def size_in_group(said: MemberSubscription, answer: MemberAssignment) -> int:
    """Return about what one member takes of the group's record (GroupMetadataValue): ids, subscription, assignment."""
    topics = sum(len(topic) + 2 for topic in said.topics)
    partitions = sum(len(topic) + 6 + 4 * len(each) for topic, each in answer.partitions.items())
    return 200 + topics + len(said.user_data) + partitions + len(answer.user_data)


def test_a_table_that_only_new_workers_know_is_where_their_sources_are() -> None:
    """While workers are replaced by ones with one table more, an event and that table's partition are at one place."""
    second = "as-second-changelog"
    counts = COUNTS | {SOURCE: 8, TABLE: 8, second: 8}
    workers = {f"m{number}": worker(f"http://w{number}:6066") for number in range(4)}
    subscribed = {
        name: join(each, *COUNTS, *([second] if name > "m1" else []))
        for name, each in workers.items()
    }
    for _ in range(2):
        answers = workers["m0"].assign(subscribed, counts)
        for name, each in workers.items():
            each.on_assignment(answers[name], 1)
            topics = subscribed[name].topics
            subscribed[name] = join(each, *topics)
        for name in ("m2", "m3"):
            actives = workers[name].assigned_actives()
            numbers = {
                topic: {tp.partition for tp in actives if tp.topic == topic}
                for topic in (SOURCE, second)
            }
            assert numbers[SOURCE] <= numbers[second]
            assert len(numbers[second]) == 4
