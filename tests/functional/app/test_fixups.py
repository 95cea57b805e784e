"""Fixups: a real Django project, and one that a program registers itself (app.md 11)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import faust
from faust.drivers import fixups
from faust.fixups import Fixup
from tests.support.processes import start_python

PROJECT = {
    "site_settings.py": """
SECRET_KEY = "test"
DEBUG = True
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "accounts"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "shop.py": """
import faust
app = faust.App("shop", broker="memory://", autodiscover=True, origin="shop", web_enabled=False)
""",
    "accounts/__init__.py": "",
    "accounts/models.py": """
from django.db import models

class Account(models.Model):
    name = models.CharField(max_length=50)
""",
    "accounts/agents.py": """
from accounts.models import Account   # works only when Django has been set up
from shop import app

@app.agent(app.topic("accounts"))
async def create(stream):
    '''Create accounts.'''
    async for name in stream:
        await Account.objects.acreate(name=name)

@app.command()
async def count(self):
    await Account.objects.acreate(name="ann")
    self.say(f"{await Account.objects.acount()} accounts")
""",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A Django project with a faust app."""
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def django(site: Path, *args: str) -> None:
    """Run a command of Django."""
    with start_python(
        None,
        *args,
        module="django",
        cwd=site,
        env={"DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": str(site)},
    ) as process:
        assert process.wait(60) == 0, process.errors


def run(site: Path, *args: str, **env: str) -> tuple[int, list[str], list[str]]:
    """Run ``faust -A shop`` in the project."""
    variables = {"DJANGO_SETTINGS_MODULE": "site_settings", **env}
    with start_python(
        None, "-A", "shop", *args, module="faust", cwd=site, env=variables
    ) as process:
        status = process.wait(60)
        return status, process.lines(), process.errors


def test_agents_in_installed_apps_are_found(site: Path) -> None:
    """app.md 11: Django is set up before its installed apps are scanned; DEBUG is warned of."""
    status, out, errors = run(site, "--json", "agents")
    assert status == 0, errors
    assert json.loads(out[0]) == [
        {"name": "@accounts.agents.create", "topic": "accounts", "help": "Create accounts."}
    ]
    assert any("switch it off in site_settings" in line for line in errors)


def test_a_command_uses_the_models(site: Path) -> None:
    """app.md 11: code of the app reads and writes models, in the loop of the command."""
    django(site, "migrate", "--run-syncdb")
    status, out, errors = run(site, "count")
    assert (status, out) == (0, ["1 accounts"]), errors


def test_errors_in_the_project_end_the_program(site: Path) -> None:
    """app.md 11: the checks of Django run; what they find ends the program with 1."""
    (site / "accounts/models.py").write_text(
        PROJECT["accounts/models.py"].replace("max_length=50", "max_length='x'")
    )
    status, _, errors = run(site, "agents")
    assert status == 1
    assert any("'max_length' must be a positive integer" in line for line in errors)


def test_without_the_variable_django_is_not_touched(site: Path) -> None:
    """app.md 11: no DJANGO_SETTINGS_MODULE, no fixup; only the app's own module is scanned."""
    status, out, errors = run(site, "--json", "agents", DJANGO_SETTINGS_MODULE="")
    assert (status, out, errors) == (0, ["[]"], [])


def test_django_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """app.md 11: the variable without Django is a warning, and the app works."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "x")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.warns(UserWarning, match="Django is not installed"):
        app = faust.App("shop", env={})
    assert app.fixups == []


class Recording(Fixup):
    """A fixup that writes down what is asked of it."""

    def enabled(self) -> bool:
        self.calls: list[str] = []
        return self.app.conf.name == "mine"  # type: ignore[no-any-return]

    def on_worker_init(self) -> None:
        self.calls.append("init")

    def autodiscover_modules(self) -> list[str]:
        self.calls.append("modules")
        return ["json.tool"]


def test_fixups_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """app.md 5 and 11: a registered fixup is asked per app; initialised once; its modules only with True."""
    monkeypatch.setitem(fixups.paths, "recording", f"{__name__}:Recording")
    assert faust.App("other", env={}).fixups == []
    app = faust.App("mine", env={}, autodiscover=True, origin="json", broker="memory://")
    (fixup,) = app.fixups
    assert isinstance(fixup, Recording)
    app.prepare()
    app.prepare()
    assert fixup.calls == ["init", "modules"]
    fixup.calls.clear()
    app.conf.assign("autodiscover", ["json"], "the test")
    app.discover()
    assert fixup.calls == []


def test_preparing_happens_once() -> None:
    """app.md 5 [Q]: on_worker_init is sent once, however often commands prepare the app."""
    app = faust.App("shop", env={}, broker="memory://")
    seen = []
    with warnings.catch_warnings():
        app.on_worker_init.connect(lambda app, **_kwargs: seen.append(app))
        app.prepare("a")
        app.prepare("b")
    assert seen == [app]
    assert app.conf.origin == "a"
