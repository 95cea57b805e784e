"""What tests of faults may ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.disks import SmallDisk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small file system; the test is skipped where none may be mounted."""
    try:
        disk = SmallDisk(tmp_path / "small")
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"needs the right to mount a tmpfs: {exc}")
    yield disk
    disk.close()
