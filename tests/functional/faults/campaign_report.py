"""The books of a campaign: one line of JSON per run, appended as it ends, and a page made from all of them.

A run is known by what was asked for (`Case`). The last line about a case counts: a case that broke a promise is played again when
the code has changed, and its former line stays, so the page shows what was found as well.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.functional.faults.chaos import Report, command_of
from tests.support.processes import ROOT

__all__ = ["Books", "Case", "commit_now", "row_of"]

Row = dict[str, Any]


class Case(NamedTuple):
    """What was asked for."""

    guarantee: str
    app: str
    broker: str
    store: str
    standbys: int
    seed: int
    events: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Case:
        """Return the case that a row tells of."""
        return cls(*(row[name] for name in cls._fields))


def commit_now() -> str:
    """Return the commit that is checked out; with a plus sign when files were changed."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "tests")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def row_of(case: Case, report: Report, commit: str) -> Row:
    """Make the line that tells of a run."""
    ledger, account = report.ledger, report.account
    resumed = sorted(o.resumed for o in report.outcomes if o.resumed is not None)
    redone = {}
    if account is not None:
        redone = {
            "redone": account.redone,
            "uncommitted": account.uncommitted,
            "takeovers": len(account.takeovers),
            "oldest": round(account.oldest, 2),
        }
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": commit,
        **case._asdict(),
        "sent": report.sent,
        "seconds": round(report.seconds),
        "faults": dict(Counter(outcome.step.kind for outcome in report.outcomes)),
        "resumed": [round(each, 1) for each in resumed],
        "lost": ledger.lost,
        "doubled": ledger.doubled,
        "disordered": ledger.disordered if case.app != "rpc" else None,
        "invented": ledger.invented,
        **redone,
        "table": report.table,
        "surplus": report.surplus,
        "databases": report.directories,
        "verdict": "broken" if report.problems else "kept",
        "problems": [problem[:600] for problem in report.problems],
        "again": command_of(report.scene, case.broker),
    }


@dataclass
class Books:
    """What is known of one campaign.

    Attributes:
        path: Of the lines; the page stands beside it with the ending ``.md``.
        title: Of the page.
        promise: What every run must show, a paragraph.
        command: That goes on with the campaign.
    """

    path: Path
    title: str
    promise: str
    command: str

    def rows(self) -> list[Row]:
        """Return all lines, the oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines() if line]

    def wants(self, case: Case, commit: str) -> bool:
        """Say whether a case is still to be played with the code as it is."""
        told = [row for row in self.rows() if Case.of(row) == case]
        return not told or (told[-1]["verdict"] == "broken" and told[-1]["commit"] != commit)

    def add(self, row: Row) -> None:
        """Append a line, and write the page anew."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.path.with_suffix(".md").write_text(self.page())

    def page(self) -> str:
        """Return the page."""
        rows = self.rows()
        latest = list({Case.of(row): row for row in rows}.values())
        broken = [row for row in latest if row["verdict"] == "broken"]
        mended = [row for row in rows if row["verdict"] == "broken" and row not in broken]
        lines = [
            f"# {self.title}",
            "",
            f"{self.promise} Made by `{self.command}`, which goes on where this ends; one line per run, with the line that",
            f"plays it again, stands in `{self.path.name}`.",
            "",
            (
                f"{len(latest)} cases played, {len(latest) - len(broken)} kept every promise;"
                f" {sum(row['sent'] for row in latest):,} events,"
                f" {sum(sum(row['faults'].values()) for row in latest):,} faults."
            ),
            "",
            *_table(latest),
            *_faults(latest),
        ]
        if broken:
            lines += ["## Broken now", "", *_stories(broken)]
        if mended:
            lines += ["## Broken once, and kept since", "", *_stories(mended)]
        return "\n".join(lines).rstrip() + "\n"


def _table(rows: Iterable[Row]) -> list[str]:
    """Return the sums by what was asked for."""
    groups: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["app"], row["broker"], row["store"], row["standbys"]].append(row)
    head = "| app | broker | store | standbys | runs | kept | events | faults | lost | doubled | handled again, of uncommitted"
    lines = [
        head + " | out of order | table | databases | resumed after, median and most |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key in sorted(groups):
        of = groups[key]
        resumed = sorted(each for row in of for each in row["resumed"])
        shown = f"{resumed[len(resumed) // 2]} s, {resumed[-1]} s" if resumed else "-"
        again = "-"
        if "redone" in of[0]:
            again = f"{_sum(of, 'redone'):,} of {_sum(of, 'uncommitted'):,}"
        kept = sum(row["verdict"] == "kept" for row in of)
        faults = sum(sum(row["faults"].values()) for row in of)
        tables = ", ".join(sorted({row["table"] for row in of}))
        cells = [*key, len(of), kept, f"{_sum(of, 'sent'):,}", faults, _sum(of, "lost")]
        cells += [f"{_sum(of, 'doubled'):,}", again, _sum(of, "disordered"), tables]
        cells += [_sum(of, "databases"), shown]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] or 0 for row in rows)


def _faults(rows: Iterable[Row]) -> list[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row["faults"])
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    return [f"Faults: {told}.", ""]


def _stories(rows: Iterable[Row]) -> list[str]:
    lines = []
    for row in rows:
        what = f"{row['app']}, {row['broker']}, {row['store']}, standbys {row['standbys']}, seed {row['seed']}"
        lines += [f"* {row['date']} at {row['commit']}: {what}"]
        lines += [f"  * {problem.splitlines()[0][:300]}" for problem in row["problems"]]
        lines += [f"  * `{row['again']}`"]
    return [*lines, ""]
