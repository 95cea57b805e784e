"""The graph of an app: topics, agents, tables and what flows between them.

Nodes are found where they are declared; edges come from what agents read, from their sinks, from the streams that they have
derived (``group_by``, ``through``), and from what their code mentions (`faust.web.dashboard.mentions`). Changelogs are part
of their tables, and what the house itself needs (topics of leaders and of replies) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from faust.topics.topic import Topic
from faust.web.dashboard.mentions import mentioned_by

__all__ = ["Edge", "Graph", "Node", "topology"]


REPARTITION = "-repartition"
"""Ends the names of topics that ``group_by`` has made."""


class Node(NamedTuple):
    """A thing in the graph.

    Attributes:
        id: Kind and name.
        kind: ``topic``, ``repartition``, ``channel``, ``agent``, ``table`` or ``task``.
        name: Its name, in full.
        label: What is written on it.
        help: Words for people.
    """

    id: str
    kind: str
    name: str
    label: str
    help: str = ""


class Edge(NamedTuple):
    """Something flows, or is used.

    Attributes:
        source: Id of the node it comes from.
        target: Id of the node it goes to.
        how: ``reads``, ``sends`` or ``uses``.
    """

    source: str
    target: str
    how: str


class Graph:
    """Nodes and edges, each once."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}

    def add(self, node: Node) -> str:
        """Add *node* unless it is there; return its id."""
        self.nodes.setdefault(node.id, node)
        return node.id

    def join(self, source: str, target: str, how: str) -> None:
        """Add an edge; somebody who reads or sends something does not *use* it besides."""
        known = {(edge.source, edge.target) for edge in self.edges}
        if how != "uses" or ((source, target) not in known and (target, source) not in known):
            self.edges[Edge(source, target, how)] = None

    def asdict(self) -> dict[str, Any]:
        """Return it as plain types."""
        return {
            "nodes": [node._asdict() for node in self.nodes.values()],
            "edges": [edge._asdict() for edge in self.edges],
        }


def topology(app: Any) -> Graph:
    """Return the graph of *app* as it is now."""
    return _Surveyor(app).survey()


class _Surveyor:
    def __init__(self, app: Any) -> None:
        self.app = app
        self.graph = Graph()
        self._leader = f"{app.conf.id}-__assignor-__leader"

    def _hidden(self, name: str) -> bool:
        """Say whether a topic is the house's own."""
        conf = self.app.conf
        return (
            name in self.app.tables.changelog_topics
            or name in (self._leader, conf.reply_to)
            or name.startswith(conf.reply_to_prefix)
        )

    def survey(self) -> Graph:
        app = self.app
        for table in app.tables.values():
            kind = type(table).__name__
            self.graph.add(
                Node(f"table:{table.name}", "table", table.name, table.name, table.help or kind)
            )
        for agent in app.agents.values():
            self.graph.add(
                Node(f"agent:{agent.name}", "agent", agent.name, _short(agent.name), agent.help)
            )
        for agent in app.agents.values():
            self._agent(agent)
        for task in app._declared_tasks:
            self._task(task)
        for name in (*self._subscribed(), *app.monitor.messages_sent_by_topic):
            if not self._hidden(name):
                self._topic(name)
        return self.graph

    # -- nodes

    def _topic(self, name: str, kind: str = "topic") -> str:
        if name.endswith(REPARTITION):
            kind = "repartition"
        return self.graph.add(Node(f"topic:{name}", kind, name, self._unprefixed(name)))

    def _unprefixed(self, name: str) -> str:
        """Leave out the app's id at the beginning, which says nothing on its own page."""
        return name.removeprefix(f"{self.app.conf.id}-") or name

    def _places(self, channel: Any) -> list[str]:
        """Return the nodes of a topic or channel."""
        if isinstance(channel, Topic):
            names = channel.topics or [name for name in self._held() if channel.matches(name)]
            return [self._topic(name) for name in names if not self._hidden(name)]
        name = f"{id(channel):x}"
        return [self.graph.add(Node(f"channel:{name}", "channel", name, "in-memory channel"))]

    def _held(self) -> list[str]:
        consumer = self.app.consumer_or_none()
        return [] if consumer is None else sorted({tp.topic for tp in consumer.tasks})

    def _subscribed(self) -> Iterator[str]:
        for topic in self.app.topics:
            yield from topic.topics or (name for name in self._held() if topic.matches(name))

    # -- edges

    def _agent(self, agent: Any) -> None:
        me = f"agent:{agent.name}"
        for place in self._places(agent.channel):
            self.graph.join(place, me, "reads")
        for sink in agent.info()["sink"]:
            self._sends(me, sink)
        for actor in agent.actors:
            self._derived(agent, actor.stream)
        self._mentions(me, agent.fun)

    def _sends(self, me: str, sink: Any) -> None:
        channel = getattr(sink, "channel", sink)  # an agent's
        if hasattr(channel, "send"):
            for place in self._places(channel):
                self.graph.join(me, place, "sends")

    def _derived(self, agent: Any, stream: Any) -> None:
        """Follow the streams that have been made of an actor's."""
        me = f"agent:{agent.name}"
        for following in stream._chain()[1:]:
            if following._same_source:
                continue
            self._label_repartition(agent, following.channel)
            for place in self._places(following.channel):
                self.graph.join(me, place, "sends")
                self.graph.join(place, me, "reads")

    def _label_repartition(self, agent: Any, channel: Any) -> None:
        """Call a repartition topic, whose name has agent, source and key in it, by its key."""
        for name in channel.topics if isinstance(channel, Topic) else ():
            if name.endswith(REPARTITION):
                short = name.removeprefix(f"{agent.name}-").removesuffix(REPARTITION)
                for source in agent.get_topic_names():
                    short = short.removeprefix(f"{source}-")
                label = f"by {short.rpartition('.')[2] or short}"
                self.graph.add(Node(f"topic:{name}", "repartition", name, label))

    def _task(self, task: Any) -> None:
        """Tasks are shown when they have to do with something that is."""
        me, name = f"task:{task.__name__}", task.__name__
        if self._known(mentioned_by(task)):
            self.graph.add(Node(me, "task", name, name, task.__doc__ or ""))
            self._mentions(me, task)

    def _mentions(self, me: str, fun: Any) -> None:
        for kind, thing in self._known(mentioned_by(fun)):
            if kind == "table":
                self.graph.join(me, f"table:{thing.name}", "uses")
            elif kind == "agent":
                for place in self._places(thing.channel) if f"agent:{thing.name}" != me else ():
                    self.graph.join(me, place, "sends")
            else:
                for place in self._places(thing):
                    if not any(
                        edge.source == place and edge.target == me for edge in self.graph.edges
                    ):
                        self.graph.join(me, place, "sends")

    def _known(self, things: Iterable[Any]) -> list[tuple[str, Any]]:
        """Return those of *things* that are in the graph, or can be, with their kinds."""
        agents = {id(agent) for agent in self.app.agents.values()}
        tables = {id(table): table for table in self.app.tables.values()}
        found: list[tuple[str, Any]] = []
        for thing in things:
            inner = getattr(thing, "__dict__", {}).get(
                "table", thing
            )  # of what shows a table by windows
            if id(inner) in tables:
                found.append(("table", tables[id(inner)]))
            elif id(thing) in agents:
                found.append(("agent", thing))
            elif isinstance(thing, Topic) and thing.app is self.app:
                found.append(("topic", thing))
        return found


def _short(name: str) -> str:
    """Leave out the module of an agent's name."""
    return name.rpartition(".")[2] or name
