"""What a real Kafka is made of: a Java, and jars that Maven fetches."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT

__all__ = ["CACHE", "Java", "ToolMissing", "fetch_jars", "find_java"]

POM = Path(__file__).with_name("kafka-pom.xml")
CACHE = ROOT / ".kafka"


class ToolMissing(RuntimeError):
    """Java or Maven is not installed; the message says what to install."""


class Java(NamedTuple):
    """A Java that may run Kafka."""

    path: str
    version: str
    """What it says of itself, in several lines."""


@cache
def find_java() -> Java:
    """Find a Java 17 or newer, once; raise `ToolMissing`."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    hint = "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"
    if java is None:
        raise ToolMissing(f"the real Kafka needs Java, which was not found: {hint}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', done.stderr)
    if version is None or int(version[1]) < 17:
        said = done.stderr.strip()
        raise ToolMissing(f"the real Kafka needs Java 17, {java} says {said!r}: {hint}")
    return Java(java, done.stderr)


# -- the jars


def fetch_jars() -> Path:
    """Return the directory of Kafka's jars; let Maven fetch them when they are not there yet.

    Safe to call from several processes at once. Raises `ToolMissing` without Maven, `RuntimeError`
    when Maven fails.
    """
    jars = CACHE / "jars"
    stamp = jars / "pom.sha256"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(jars, ignore_errors=True)
            _run_maven(jars)
            stamp.write_text(wanted)
    return jars


def _run_maven(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissing(
            "the jars of the real Kafka are fetched by Maven, which was not found: "
            "install it (Debian: apt-get install maven)"
        )
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    done = subprocess.run(
        [maven, "-q", "-B", "-f", str(POM), *goal], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch Kafka's jars:\n{done.stdout}{done.stderr}")
