"""The reference page says what the table says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from faust.settings import Settings

ROOT = Path(__file__).parents[3]


def test_the_reference_is_current() -> None:
    """docs/reference/settings.md is what scripts/settings_reference.py writes."""
    command = [sys.executable, str(ROOT / "scripts" / "settings_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_has_a_chapter() -> None:
    """No setting is without words, and each is described once."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for name in Settings.SETTINGS:
        assert page.count(f"### `{name}`\n") == 1
