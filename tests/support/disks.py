"""A disk that a test may fill and protect."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

__all__ = ["SmallDisk"]


class SmallDisk:
    """A file system of its own with 6 MiB, which can be made larger, read-only, and writable again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._mount("size=6m")

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)

    def fill(self) -> None:
        """Leave no room."""
        with suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))

    def clear(self) -> None:
        """Give the room back that `fill` has taken."""
        (self.path / "ballast").unlink()

    def grow(self) -> None:
        """Make room, and let everybody write."""
        self._mount("remount,rw,size=256m")

    def protect(self) -> None:
        """Make it read-only."""
        self._mount("remount,ro")

    def close(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)
