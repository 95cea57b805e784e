"""Acceptance 3 of issue 5: thousands of questions at once, while who answers and who asks is killed and restarted.

Two processes. Every promise must end: with the right answer, or with an error that says that the app which asked has
stopped. In the end the asking process holds no promise, and as much memory as after its first round.

By hand, in full size::

    python -m tests.functional.faults.rpc --broker kafka --count 10000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.kafka import KafkaCluster
from tests.support.processes import PythonProcess, start_python

__all__ = ["RpcReport", "play"]

MODULE = "tests.functional.faults.rpc_app"
PATIENCE = 120.0
"""Seconds within which every promise must have ended."""


@dataclass
class RpcReport:
    """What happened.

    Attributes:
        rates: Questions answered per second, of undisturbed rounds.
        problems: Broken promises, in words; none if all is well.
        first: Memory after the first round.
        last: Memory in the end.
    """

    rates: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def expect(self, what: str, found: dict[str, Any], *, right: int, lost: bool = False) -> None:
        """Note when not all of *right* questions were answered; *lost*: they may also have ended in ReplyLost."""
        ended = found.get("right", 0) + (found.get("ReplyLost", 0) if lost else 0)
        if ended != right:
            self.problems.append(f"{what}: of {right} questions {found}")

    def __str__(self) -> str:
        lines = [
            f"answers per second: {', '.join(f'{rate:,.0f}' for rate in self.rates)}",
            f"memory after the first round: {self.first}",
            f"memory in the end: {self.last}",
        ]
        return "\n".join([*lines, *(self.problems or ["every promise has ended as it should"])])


class Trial:
    """The processes of one trial."""

    def __init__(self, broker: str, count: int) -> None:
        self.broker = broker
        self.count = count
        self.id = f"rpc-{uuid.uuid4().hex[:8]}"
        self.report = RpcReport()
        self.answers = self._start("answer")
        assert self.answers.read_line(60.0) == "ready"
        self.asks = self._start("ask")
        assert self._hear() == "ready"

    def _start(self, part: str) -> PythonProcess:
        return start_python(None, part, self.broker, self.id, module=MODULE)

    def _hear(self) -> Any:
        return json.loads(self.asks.read_line(PATIENCE))

    def tell(self, line: str) -> Any:
        """Give the asking process a line, and wait for what it says."""
        self.asks.write_line(line)
        return self._hear()

    def undisturbed(self) -> None:
        """Ask, and measure."""
        found = self.tell(f"ask {self.count}")
        self.report.expect("undisturbed", found, right=self.count)
        self.report.rates.append(self.count / found["seconds"])

    def answering_process_dies(self) -> None:
        """Kill who answers in the middle, start another: all questions are answered."""
        self.tell(f"begin {self.count} 0.1")
        self.answers.kill()
        self.answers = self._start("answer")
        self.report.expect("answering process killed", self.tell("wait"), right=self.count)

    def answering_process_leaves(self) -> None:
        """Stop who answers properly in the middle, start another: all questions are answered."""
        self.tell(f"begin {self.count} 0.1")
        self.answers.terminate()
        self.answers.wait(30.0)
        self.answers = self._start("answer")
        self.report.expect("answering process stopped", self.tell("wait"), right=self.count)

    def asking_app_restarts(self) -> None:
        """Restart the app that asks in the middle: its promises end, and it can ask again."""
        self.tell(f"begin {self.count} 0.05")
        self.tell("restart")
        self.report.expect("asking app restarted", self.tell("wait"), right=self.count, lost=True)
        self.report.expect("after its restart", self.tell("ask 100"), right=100)

    def asking_process_dies(self) -> None:
        """Kill who asks in the middle, start another: it is answered, whatever is left of the first."""
        doomed = self._start("ask")
        assert json.loads(doomed.read_line(PATIENCE)) == "ready"
        doomed.write_line(f"begin {self.count} 0.05")
        time.sleep(0.2)
        doomed.kill()
        self.report.expect("beside a killed asking process", self.tell("ask 100"), right=100)

    def end(self) -> None:
        """Stop both processes."""
        for process in (self.asks, self.answers):
            process.kill()


def play(broker: str, *, count: int, rounds: int) -> RpcReport:
    """Run the trial; the report says what was broken."""
    trial = Trial(broker, count)
    report = trial.report
    try:
        for number in range(rounds):
            trial.undisturbed()
            trial.answering_process_dies()
            trial.answering_process_leaves()
            trial.asking_app_restarts()
            trial.asking_process_dies()
            trial.undisturbed()
            report.last = trial.tell("memory")
            if number == 0:
                report.first = report.last
            if report.last["promises"] or report.last["waiting"]:
                report.problems.append(f"promises are left: {report.last}")
        grown = report.last["rss_mb"] / report.first["rss_mb"]
        if grown > 1.2 or report.last["objects"] > report.first["objects"] * 1.05:
            report.problems.append(f"memory has grown: {report.first} -> {report.last}")
    finally:
        trial.end()
    return report


def main() -> None:
    """Run it by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", default="local", choices=["local", "kafka"])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faust-rpc-") as scratch:
        if options.broker == "local":
            report = play(
                f"local://{Path(scratch) / 'broker'}", count=options.count, rounds=options.rounds
            )
        else:
            with KafkaCluster() as cluster:
                report = play(cluster.url, count=options.count, rounds=options.rounds)
    print(report)
    raise SystemExit(bool(report.problems))


if __name__ == "__main__":
    main()
