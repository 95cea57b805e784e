"""The pictures of the guide are those that the code gives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_pictures_are_current() -> None:
    """docs/guide/images/*.svg are what scripts/state_pictures.py draws from the state machines (issue 6, acceptance 9)."""
    command = [sys.executable, str(ROOT / "scripts" / "state_pictures.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["tables", "windows", "stores", "recovery-and-scaling"])
def test_the_guide_shows_them(page: str) -> None:
    """Each of these pages shows a picture, with words for those who cannot see it; nothing in it is fetched from elsewhere."""
    shown = re.findall(r"!\[(.+)\]\(images/([\w-]+\.svg)\)", (GUIDE / f"{page}.md").read_text())
    assert shown
    for words, name in shown:
        assert len(words) > 40
        picture = ET.parse(GUIDE / "images" / name).getroot()
        assert picture.findtext(f"{SVG}title")
        assert picture.findtext(f"{SVG}desc")
        source = (GUIDE / "images" / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in source
        assert "href" not in source
