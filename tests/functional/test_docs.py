"""What the guide pages show is run: every ```python block (see `tests.support.snippets`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PAGES = sorted(
    [*ROOT.glob("docs/guide/**/*.md"), *ROOT.glob("docs/tutorial/*.md"), ROOT / "docs/index.md"]
)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_page_runs(page: Path, tmp_path: Path) -> None:
    """Every Python block of the page runs, in a process of its own, and prints what the page says."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "APP_DATADIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.support.snippets", str(page)],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
