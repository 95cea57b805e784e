"""The figures of this worker, as plain types: read from what it keeps anyway, without waiting and without asking anybody."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable
from typing import Any

from faust._version import __version__
from faust.messages import TP
from faust.web.dashboard.rates import Rates, spread
from faust.web.dashboard.trouble import masked

__all__ = ["Figures"]


class Figures:
    """Reads the figures of an app, again and again.

    Arguments:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.rates: Rates = Rates()
        self._starts: dict[TP, int] = {}

    def read(self) -> dict[str, Any]:
        """Return the figures as they are now; called on the event loop of the app."""
        now = time.monotonic()
        monitor = self.app.monitor
        monitor.settle()
        return {
            "at": time.time(),
            "app": self._about(),
            "totals": self._totals(monitor, now),
            "latency": {
                "events": spread(monitor.events_runtime),
                "commits": spread(monitor.commit_latency),
                "sends": spread(monitor.send_latency),
            },
            "partitions": self.app.health.table(),
            "agents": [self._agent(agent, now) for agent in self.app.agents.values()],
            "sent": {
                topic: self.rates.of(("sent", topic), count, now)
                for topic, count in monitor.messages_sent_by_topic.items()
            },
            "tables": [self._table(table) for table in self.app.tables.values()],
            "workers": self._workers(),
        }

    def _about(self) -> dict[str, Any]:
        app, conf = self.app, self.app.conf
        dead, reasons = app.health.why_not_alive(), app.health.why_not_ready()
        return {
            "id": conf.id,
            "faust": __version__,
            "url": masked(str(conf.canonical_url)),
            "broker": [masked(str(url)) for url in conf.shown("broker")],
            "pid": os.getpid(),
            "state": _state(dead, reasons),
            "reasons": [masked(reason) for reason in dead or reasons],
            "recovery": masked(app.tables.doing()),
            "generation": app.consumer_generation_id,
        }

    def _totals(self, monitor: Any, now: float) -> dict[str, Any]:
        return {
            "events": monitor.events_total,
            "events_s": self.rates.of("events", monitor.events_total, now),
            "sent": monitor.messages_sent,
            "sent_s": self.rates.of("sent", monitor.messages_sent, now),
            "active": monitor.events_active,
            "send_errors": monitor.send_errors,
            "rebalances": self.app.rebalancing_count,
        }

    def _agent(self, agent: Any, now: float) -> dict[str, Any]:
        actors = agent.actors
        total = sum(actor.stream.get_active_stream().events_total for actor in actors)
        key: Hashable = ("agent", agent.name)
        return {
            "name": agent.name,
            "topics": agent.get_topic_names(),
            "actors": len(actors),
            "rate": self.rates.of(key, total, now),
            "events": total,
        }

    # -- tables

    def _table(self, table: Any) -> dict[str, Any]:
        seen = self.app.monitor.tables.get(table.name)
        rows = [
            self._table_partition(table, number, partition)
            for number, partition in sorted(table.held.items())
        ]
        return {
            "name": table.name,
            "kind": type(table).__name__,
            "help": table.help,
            "window": None if table.window is None else repr(table.window),
            "store": table.store_url.scheme,
            "changelog": table.changelog_topic_name,
            "entries": sum(row["entries"] for row in rows if not row["standby"]),
            "estimated": any(not partition.volatile for partition in table.held.values()),
            "read": seen.keys_retrieved if seen else 0,
            "written": seen.keys_updated if seen else 0,
            "deleted": seen.keys_deleted if seen else 0,
            "partitions": rows,
        }

    def _table_partition(self, table: Any, number: int, partition: Any) -> dict[str, Any]:
        done, to_go = self._recovered(TP(table.changelog_topic_name, number))
        return {
            "partition": number,
            "standby": partition.standby,
            "ready": partition.complete and done is None,
            "entries": partition.about(),
            "recovered": done,
            "to_go": to_go,
        }

    def _recovered(self, tp: TP) -> tuple[float | None, int]:
        """Return which share of a changelog has been read by the recovery under way, and how many records are left."""
        tables = self.app.tables
        plan = None if tables.recovery is None else tables.recovery.plans.get(tp)
        if plan is None or not plan.remaining:
            self._starts.pop(tp, None)
            lag = tables.standby_lag().get(tp, 0)
            return None, lag
        start = min(self._starts.setdefault(tp, plan.position), plan.position)
        return (plan.position - start) / max(1, plan.end - start), plan.remaining

    # -- workers

    def _workers(self) -> list[dict[str, Any]]:
        """Return the workers of the group as the last assignment has them, and what they own."""
        app = self.app
        owned: dict[str, dict[str, list[int]]] = {}
        leader = f"{app.conf.id}-__assignor-__leader"
        leads = None
        for spoken in (app.router.external_topics_metadata(), app.router.tables_metadata()):
            for url, topics in spoken.items():
                mine = owned.setdefault(url, {})
                for topic, numbers in topics.items():
                    if topic == leader:
                        leads = url if numbers else leads
                    elif numbers:
                        mine[topic] = list(numbers)
        owned.setdefault(str(app.conf.canonical_url), {})
        return [
            {
                "url": url,
                "here": url == str(app.conf.canonical_url),
                "leader": url == leads,
                "owns": owned[url],
            }
            for url in sorted(owned)
        ]


def _state(dead: list[str], reasons: list[str]) -> str:
    if dead:
        return "dead"
    if not reasons:
        return "ready"
    for word in ("recovery", "rebalance", "starting"):
        if reasons[0].startswith(word):
            return word
    return "stalled"
