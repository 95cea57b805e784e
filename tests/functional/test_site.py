"""The documentation builds as a site without a warning: no dead link, no name that is missing in the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT


def test_the_site_builds(tmp_path: Path) -> None:
    """Sphinx, with warnings as errors, writes the pages and the reference of names (issue 7, acceptance 10)."""
    site = tmp_path / "site"
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [sys.executable, *command, "-b", "html", str(ROOT / "docs"), str(site)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'id="faust.agents.agent.Agent"' in (site / "reference/api/agents.html").read_text()
