"""What the pages tell a reader to type (options of the program, variables of the environment) exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import faust.cli.main  # noqa: F401 - registers the commands
from faust.cli.state import cli
from faust.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/guide/*.md"),
        *ROOT.glob("docs/tutorial/*.md"),
    ]
)

VARIABLE = re.compile(
    r"(?:^Environment=|^ENV |^ *- name: |(?<=`)|^\$ )(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b(?=[=`\n ])",
    re.MULTILINE,
)
PROGRAM = re.compile(r"(?:^|[`/ ])faust (?P<rest>[^`\n|#]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

OF_OTHERS = frozenset({"DJANGO_SETTINGS_MODULE", "NO_COLOR", "SENTRY_DSN", "SSL_CERT_FILE"})
"""Variables that other programs and libraries read."""

NO_VARIABLES = frozenset({"DO_NOT_SHARE", "SASL_PLAINTEXT", "SASL_SSL", "SHOP_BROKER_URL"})
"""What looks like one on a page: a state, protocols, and one with a prefix of the reader's."""

OF_PROCESS = ("CONSOLE_PORT", "DATADIR", "DEBUG", "LOOP", "STRICT", "WORKDIR")
"""Variables with FAUST_ or F_ in front that are no settings (settings.md 3)."""


def known_variables() -> set[str]:
    """Return the variables that the library reads, and those of others."""
    settings = Settings.SETTINGS.values()
    known = {param.env for param in settings if param.env}
    names = [*OF_PROCESS, *(param.process_default for param in settings if param.process_default)]
    return known | {f"{prefix}_{name}" for name in names for prefix in ("FAUST", "F")} | OF_OTHERS


def known_options(command: click.Command = cli) -> set[str]:
    """Return the options of a command and of those below it."""
    found = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in [*parameter.opts, *parameter.secondary_opts]
    }
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return found.union({"--help"}, *map(known_options, inner))


def variables(text: str) -> set[str]:
    """Return the variables that a page names."""
    return {match["name"] for match in VARIABLE.finditer(text)} - NO_VARIABLES


def options(text: str) -> Iterator[str]:
    """Yield the options that a page gives to the program."""
    for match in PROGRAM.finditer(text):
        yield from OPTION.findall(match["rest"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_to_type_exists(page: Path) -> None:
    """Every variable and every option of `faust` on the page is one."""
    text = page.read_text()
    assert variables(text) - known_variables() == set()
    assert set(options(text)) - known_options() == set()


def test_the_check_can_fail() -> None:
    """What does not exist is found out, in the forms in which pages have it."""
    assert variables("Environment=NODE_NAME=%H\n    - name: POD_NAME\nENV IMAGE_NAME=1\n`X_Y`") == {
        "NODE_NAME",
        "POD_NAME",
        "IMAGE_NAME",
        "X_Y",
    }
    page = "$ faust -A shop worker --loud\n`/opt/faust -A x worker --web-port 1`, use `--other`"
    assert list(options(page)) == ["--loud", "--web-port"]
    assert {"--no-quiet", "--without-web", "--rewrite"} <= known_options()
    assert {"WEB_HOST", "FAUST_WORKDIR", "F_WEB_PORT"} <= known_variables()
