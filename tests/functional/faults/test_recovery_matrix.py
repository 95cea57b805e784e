"""Pain row 8: a covering part of the recovery matrix; `recovery_matrix` plays all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.faults.recovery_matrix import KINDS, Case, all_cases, play

LOCAL = [
    Case(kind, store, standbys, ("earliest", "latest")[(number // 2 + standbys) % 2])
    for number, kind in enumerate(KINDS)
    for store, standbys in (("memory", number % 2), ("rocksdb", (number + 1) % 2))
]
KAFKA = [
    Case("markers", "memory", 0, "latest"),
    Case("truncated", "rocksdb", 1, "earliest"),
    Case("beyond", "rocksdb", 0, "latest"),
    Case("outgrown", "rocksdb", 1, "latest"),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.mark.parametrize("case", LOCAL, ids=str)
async def test_pain_08_recovery_always_ends(case: Case, tmp_path: Path) -> None:
    """Whatever has happened to the changelog: ready in bounded time, right contents, events flow (recovery-rebalance.md 7)."""
    await play(f"local://{tmp_path / 'broker'}", case, tmp_path / "data")


@pytest.mark.kafka
@pytest.mark.parametrize("case", KAFKA, ids=str)
async def test_pain_08_recovery_always_ends_on_kafka(
    case: Case, broker_url: str, tmp_path: Path
) -> None:
    """The same on the real Kafka, with its markers, its retention and its deletion of topics."""
    await play(broker_url, case, tmp_path / "data")


def test_the_part_covers_every_pair() -> None:
    """Every kind comes with every store, and every kind and store with and without standbys and either reset policy."""
    assert {(case.kind, case.store) for case in LOCAL} == {
        (case.kind, case.store) for case in all_cases()
    }
    for field in ("standbys", "reset"):
        assert {(case.store, getattr(case, field)) for case in LOCAL} == {
            (case.store, getattr(case, field)) for case in all_cases()
        }


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """Address of the real Kafka."""
    url: str = request.getfixturevalue("kafka_cluster").url
    return url
