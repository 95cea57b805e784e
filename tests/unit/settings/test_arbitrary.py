"""Whatever text or object a setting is given: a value, or an error that names the setting."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faust.exceptions import ImproperlyConfigured
from faust.settings import Settings

NAMES = sorted(name for name, param in Settings.SETTINGS.items())
VARIABLES = sorted(param.env for param in Settings.SETTINGS.values() if param.env)
TEXTS = st.one_of(
    st.text(),
    st.sampled_from(
        ["", "0", "nan", "inf", "-1", "1e999", "{", "{}", "{0}", "{x}", "{conf.x}", "a:b:c"]
    ),
    st.sampled_from(
        ["[]", "{}", "://", "kafka://", "kafka://[::1", ";", "x.y", "x:y", "1/m", "1/x", "/"]
    ),
)
OBJECTS = st.one_of(
    TEXTS,
    st.binary(),
    st.floats(),
    st.integers(),
    st.lists(st.one_of(st.none(), st.text(), st.integers()), max_size=3),
    st.dictionaries(st.text(), st.text(), max_size=2),
    st.sampled_from([object(), object, print, (), set(), range(3), Ellipsis]),
)


def read_everything(**options: Any) -> None:
    """Make settings and read each; only ImproperlyConfigured may come out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            conf = Settings("shop", **{"env": {}, **options})
        except ImproperlyConfigured:
            return
        for name, param in Settings.SETTINGS.items():
            if param.not_built is None:
                getattr(conf, name)
        assert conf.asdict().keys() == Settings.setting_names()


@given(variable=st.sampled_from(VARIABLES), text=TEXTS)
@example(variable="APP_DATADIR", text="{conf.nope}")
@example(variable="BROKER_COMMIT_INTERVAL", text="nan")
@example(variable="APP_ENV_PREFIX", text="_")
def test_any_text_in_any_variable(variable: str, text: str) -> None:
    """settings.md 2 and 3: the environment cannot raise anything but ImproperlyConfigured."""
    read_everything(env={variable: text})


@given(name=st.sampled_from(NAMES), value=OBJECTS)
@example(name="topic_partitions", value=float("inf"))
@example(name="datadir", value="{")
@example(name="loghandlers", value="ab")
def test_any_object_in_any_keyword(name: str, value: Any) -> None:
    """settings.md 2: a keyword cannot raise anything but ImproperlyConfigured."""
    read_everything(**{name: value})


@given(version=st.integers(), template=TEXTS, id=st.text())
def test_any_identity(version: int, template: str, id: str) -> None:
    """settings.md 5: neither can id, version and id_format."""
    try:
        conf = Settings(id, env={}, version=version, id_format=template)
    except ImproperlyConfigured:
        assert version != 1
    else:
        assert conf.name == id
        assert (conf.id == id) or version != 1


@pytest.mark.parametrize("template", ["{conf.nope}", "{", "{0}", "{x}"])
def test_a_datadir_that_cannot_be_filled_in_says_so(template: str) -> None:
    """settings.md 8: the directory is a format text; a wrong field is named when it is given."""
    with pytest.raises(ImproperlyConfigured, match=r"'datadir'.*\{conf\.name\}"):
        Settings("shop", env={}, datadir=template)
