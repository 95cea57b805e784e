"""Which of several values wins, and where it is said to have come from."""

from __future__ import annotations

import logging
import ssl
import types
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from faust.auth import SASLCredentials
from faust.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured
from faust.settings import SectionType, Settings
from faust.settings.params import Param
from faust.settings.table import values_of

NOTHING: dict[str, str] = {}


def make(id: str = "shop", **options: Any) -> Settings:
    """Make settings that see nothing of the real environment."""
    options.setdefault("env", NOTHING)
    return Settings(id, **options)


SOURCES = ("environment", "config object", "keyword", "default")


@given(present=st.sets(st.sampled_from(SOURCES[:3])))
def test_the_first_source_present_wins(present: set[str]) -> None:
    """Environment beats config object beats keyword beats default, whatever is present."""
    values = {"environment": 1, "config object": 2, "keyword": 3, "default": 8}
    winner = next(source for source in SOURCES if source in present or source == "default")

    conf = make(
        env={"TOPIC_PARTITIONS": "1"} if "environment" in present else {},
        config_source={"topic_partitions": 2} if "config object" in present else None,
        topic_partitions=3 if "keyword" in present else None,
    )

    assert conf.topic_partitions == values[winner]
    assert winner in conf.source_of("topic_partitions")
    assert conf.is_default("topic_partitions") == (winner == "default")


def test_an_empty_variable_counts_as_set() -> None:
    """An environment variable with no text is a value, here one that no number can have."""
    with pytest.raises(
        ValueError, match=r"topic_partitions.*environment variable TOPIC_PARTITIONS"
    ):
        make(env={"TOPIC_PARTITIONS": ""})
    assert make(env={"TOPIC_ALLOW_DECLARE": ""}).topic_allow_declare is False


def test_none_means_not_given() -> None:
    """None as keyword or in the config object leaves the default, or the next source."""
    assert make(version=None).version == 1
    assert make(config_source={"version": None}, version=3).version == 3


@pytest.mark.parametrize("prefix", ["SHOP", "SHOP_", "SHOP__"])
def test_with_a_prefix_only_prefixed_variables_count(prefix: str) -> None:
    """With env_prefix the plain variable is not looked at any more."""
    env = {"SHOP_TOPIC_PARTITIONS": "3", "TOPIC_PARTITIONS": "5", "TOPIC_REPLICATION_FACTOR": "2"}
    conf = make(env=env, env_prefix=prefix)
    assert conf.topic_partitions == 3
    assert conf.topic_replication_factor == 1


def test_the_prefix_variable_beats_the_argument() -> None:
    """APP_ENV_PREFIX has no prefix itself and wins over env_prefix."""
    env = {"APP_ENV_PREFIX": "A", "A_TOPIC_PARTITIONS": "1", "B_TOPIC_PARTITIONS": "2"}
    conf = make(env=env, env_prefix="B")
    assert (conf.env_prefix, conf.topic_partitions) == ("A", 1)


def test_settings_without_a_variable_ignore_the_environment() -> None:
    """A setting whose reference shows no variable cannot be set by one."""
    assert make(env={"ORIGIN": "x", "AUTODISCOVER": "1"}).origin is None


def test_process_defaults_lose_to_everything_given() -> None:
    """FAUST_X and F_X change the default only, the longer name first."""
    env = {"FAUST_WEB_PORT": "7001", "F_WEB_PORT": "7002", "F_DATADIR": "/srv/x"}
    conf = make(env=env)
    assert (conf.web_port, conf.datadir) == (7001, Path("/srv/x"))
    assert conf.is_default("web_port")
    assert make(env=env, web_port=7003).web_port == 7003
    assert make(env={**env, "WEB_PORT": "7004"}, web_port=7003).web_port == 7004
    assert make(env={"F_WEB_TRANSPORT": "unix:///run/x"}).web_transport == URL("unix:///run/x")
    assert make(env={"WEB_TRANSPORT": "unix:///run/x"}).web_transport == URL("tcp://")


def test_alias_defaults_follow_the_other_setting() -> None:
    """broker_consumer is broker until it is given, also after an assignment."""
    conf = make(broker="kafka://a", broker_producer="kafka://p")
    conf.broker = "kafka://b"
    assert conf.broker_consumer == [URL("kafka://b")]
    assert conf.broker_producer == [URL("kafka://p")]


def test_canonical_url_is_made_once() -> None:
    """The default URL takes host and port at construction and keeps them."""
    conf = make(web_host="node", web_port=1234)
    assert str(conf.canonical_url) == "http://node:1234"
    conf.assign("web_port", 99, "test")
    assert str(conf.canonical_url) == "http://node:1234"
    assert str(make(canonical_url="http://x:1").canonical_url) == "http://x:1"


def test_canonical_url_of_a_server_with_tls() -> None:
    """web.md 1: with ``web_ssl_context`` others are told of https, also when the option gives another port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    conf = make(web_host="node", web_port=1234, web_ssl_context=context)
    assert str(conf.canonical_url) == "https://node:1234"
    conf.assign("web_port", 99, "test")
    assert conf.web_address() == "https://node:99"
    assert make(web_host="node", web_port=1).web_address("here") == "http://here:1"


def test_deprecated_names_are_defaults_of_the_new_ones() -> None:
    """Url and producer_linger_ms count when broker and producer_linger are not given."""
    assert make(url="kafka://old").broker == [URL("kafka://old")]
    assert make(url="kafka://old", broker="kafka://new").broker == [URL("kafka://new")]
    assert make(producer_linger_ms=250).producer_linger == 0.25
    assert make(producer_linger_ms=250, producer_linger=0).producer_linger == 0


def test_reading_a_deprecated_setting_warns_every_time() -> None:
    """Giving a deprecated setting is silent, each read of it says what to use instead."""
    conf = make(url="kafka://old")
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"'url' is deprecated since version 1\.0.*`broker`"
        ) as w:
            assert conf.url == URL("kafka://old")
        assert w[0].filename == __file__


def test_old_names_are_translated() -> None:
    """A name of long ago still works, with a FutureWarning that points at the caller."""
    with pytest.warns(FutureWarning, match="now called 'topic_partitions'") as warned:
        conf = Settings("shop", env={}, default_partitions=3)  # type: ignore[call-arg]
    assert conf.topic_partitions == 3
    assert warned[0].filename == __file__


def test_old_and_new_name_together_are_refused() -> None:
    """Two values for one setting have no right order."""
    with pytest.raises(ImproperlyConfigured, match="give 'topic_partitions' only"):
        make(topic_partitions=4, default_partitions=3)


# -- config objects


class Base:
    topic_partitions = 3
    helper = "not a setting"


class Production(Base):
    id = "ignored"
    broker = "kafka://prod"


def test_objects_give_inherited_attributes_and_may_have_others() -> None:
    """Attributes that are no settings, and id, are left alone."""
    conf = make(config_source=Production)
    assert (conf.id, conf.topic_partitions, str(conf.broker[0])) == ("shop", 3, "kafka://prod")


def test_modules_may_import_modules_named_like_settings() -> None:
    """A module among the attributes is never the value of a setting."""
    module = types.ModuleType("conf")
    module.web = logging  # type: ignore[attr-defined]
    module.topic_partitions = 5  # type: ignore[attr-defined]
    assert make(config_source=module).topic_partitions == 5


def test_import_paths_start_at_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pkg.module, pkg.module:attr and pkg.module.attr are all understood."""
    (tmp_path / "shopconf_x.py").write_text("topic_partitions = 3\nclass C: topic_partitions = 4\n")
    monkeypatch.chdir(tmp_path)
    assert make(config_source="shopconf_x").topic_partitions == 3
    assert make(config_source="shopconf_x:C").topic_partitions == 4
    assert make(config_source="shopconf_x.C").topic_partitions == 4


def test_a_path_that_leads_nowhere_is_an_import_error() -> None:
    """Errors of importing the config object reach the caller."""
    with pytest.raises(ImportError):
        values_of("no_such_module_at_all")
    with pytest.raises(AttributeError):
        values_of("json:no_such_name")


def test_mappings_must_hold_settings_only() -> None:
    """A misspelt name in a mapping is an error, as it is for keywords."""
    with pytest.raises(ImproperlyConfigured, match=r"'brokr' \(config object\).*'broker'"):
        make(config_source={"brokr": "kafka://x"})


# -- unknown and unsupported


def test_an_unknown_setting_names_the_nearest() -> None:
    """A misspelt keyword is an error that offers the right spelling."""
    with pytest.raises(
        ImproperlyConfigured, match=r"unknown setting 'brokr'.*Did you mean 'broker'"
    ):
        make(brokr="kafka://x")
    with pytest.raises(ImproperlyConfigured, match=r"'xyzzy' \(keyword argument\)\.$"):
        make(xyzzy=1)


# -- assignment


def test_assignment_converts_and_checks() -> None:
    """An assigned value goes the way of a given one."""
    conf = make()
    conf.broker_commit_interval = timedelta(minutes=1)
    assert conf.broker_commit_interval == 60.0
    with pytest.raises(ValueError, match=r"stream_buffer_maxsize.*assignment"):
        conf.stream_buffer_maxsize = -1


def test_assigning_what_was_read_warns() -> None:
    """A change after the first read names key, old and new value, and is made."""
    conf = make()
    assert conf.topic_partitions == 8
    with pytest.warns(AlreadyConfiguredWarning, match=r"'topic_partitions'.*from 8 to 9") as warned:
        conf.topic_partitions = 9
    assert conf.topic_partitions == 9
    assert warned[0].filename == __file__


def test_assigning_what_was_not_read_is_silent() -> None:
    """Construction reads nothing on behalf of the user."""
    conf = make(version=2)
    for name in ("topic_partitions", "web_port", "version"):
        setattr(conf, name, 7)


def test_none_cannot_be_assigned_to_a_number() -> None:
    """A number setting refuses None, others go back to their default."""
    conf = make(broker="kafka://x", topic_partitions=3, origin="a")
    with pytest.raises(TypeError, match="topic_partitions"):
        conf.topic_partitions = None
    conf.broker = None
    conf.origin = None
    assert conf.broker == [URL("kafka://localhost:9092")]
    assert conf.origin is None
    assert conf.topic_partitions == 3


def test_unknown_attributes_can_be_created() -> None:
    """Programs may keep values of their own on the settings."""
    conf = make()
    conf.mine = 1  # type: ignore[attr-defined]
    assert conf.mine == 1  # type: ignore[attr-defined]


# -- identity and directories


def test_the_id_has_the_version_from_two_on() -> None:
    """Version 1 leaves the name as it is."""
    assert (make().id, make().name) == ("shop", "shop")
    conf = make(version=2)
    assert (conf.id, conf.name) == ("shop-v2", "shop")


def test_version_and_format_are_resolved_before_the_id() -> None:
    """Version and id_format from the environment, or as text, make the id as well."""
    assert make(env={"APP_VERSION": "3"}).id == "shop-v3"
    assert make(version="2", id_format="{id}_{self.version}").id == "shop_2"
    assert make(env={"APP_ID_FORMAT": "{id}!{self.version}"}, version=2).id == "shop!2"


def test_assigning_the_id_renders_it_again() -> None:
    """Assigning id sets the name; assigning version alone leaves the id."""
    conf = make(version=2)
    conf.version = 3
    assert conf.id == "shop-v2"
    conf.id = "store"
    assert (conf.id, conf.name) == ("store-v3", "store")


def test_the_name_is_read_only() -> None:
    """The name changes through the id only."""
    with pytest.raises(AttributeError):
        make().name = "x"  # type: ignore[misc]


def test_the_id_is_the_only_positional_argument() -> None:
    """Missing it, or giving a second one, is a TypeError."""
    with pytest.raises(TypeError):
        Settings()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Settings("a", "b")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="name of the application"):
        Settings(5)  # type: ignore[arg-type]


def test_a_format_that_cannot_be_filled_in_says_so() -> None:
    """A wrong field of id_format is named."""
    with pytest.raises(ImproperlyConfigured, match=r"id_format.*nope"):
        make(version=2, id_format="{nope}")


def test_directories() -> None:
    """Data of all versions is in one directory, tables in that of the version."""
    conf = make(version=2)
    assert conf.datadir == Path("shop-data")
    assert conf.appdir == Path("shop-data/v2")
    assert conf.tabledir == Path("shop-data/v2/tables")
    assert conf.relative_to_appdir("/abs") == Path("/abs")
    assert conf.data_directory_for_version(7) == Path("shop-data/v7")
    assert make(tabledir="/abs/t").tabledir == Path("/abs/t")
    assert make(datadir="~/{conf.id}", version=2).datadir == Path.home() / "shop-v2"


def test_old_version_directories_are_found(tmp_path: Path) -> None:
    """Only directories that exist, of versions before this one, the latest first."""
    for name in ("v0", "v1", "v3", "v4"):
        (tmp_path / name).mkdir()
    (tmp_path / "v2").write_text("a file")
    conf = make(datadir=tmp_path, version=4)
    assert [p.name for p in conf.find_old_versiondirs()] == ["v3", "v1", "v0"]


def test_directories_are_created(tmp_path: Path) -> None:
    """The three directories exist afterwards, and may exist before."""
    conf = make(datadir=tmp_path / "data", version=2)
    for _ in range(2):
        conf.create_directories()
        assert conf.tabledir.is_dir()
    assert conf.tabledir == tmp_path / "data" / "v2" / "tables"


def test_directories_that_cannot_be_say_so(tmp_path: Path) -> None:
    """The message names setting, source, directory and reason."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        conf = make(env={"APP_DATADIR": str(path)})
        words = rf"'datadir' \(from environment variable APP_DATADIR\).*{path}"
        with pytest.raises(ImproperlyConfigured, match=words):
            conf.create_directories()
    with pytest.raises(ImproperlyConfigured, match="its parent must exist"):
        make(datadir=tmp_path / "no" / "such").create_directories()


def test_repr_is_the_id() -> None:
    """The settings say whose they are."""
    assert repr(make(version=2)) == "<Settings: shop-v2>"


# -- introspection


def test_the_class_gives_descriptors() -> None:
    """Settings.x is the descriptor, listed by name and by chapter."""
    assert isinstance(Settings.broker, Param)
    assert Settings.SETTINGS["broker"] is Settings.broker
    assert Settings.broker in Settings.SETTINGS_BY_SECTION[SectionType.COMMON]
    in_sections = [p for ps in Settings.SETTINGS_BY_SECTION.values() for p in ps]
    assert sorted(p.name for p in in_sections) == sorted(Settings.SETTINGS)


def test_setting_names_leave_out_the_deprecated() -> None:
    """The names to offer to users are those of today."""
    names = Settings.setting_names()
    assert "broker" in names
    assert names.isdisjoint({"url", "producer_linger_ms"})


def test_a_table_can_be_extended() -> None:
    """A subclass may add settings of its own."""

    class Mine(Settings):
        colour: Param[str | None, str] = Param(default="red", env="COLOUR")
        """Colour of the shop."""

    assert Mine("x", env={"COLOUR": "blue"}).colour == "blue"
    assert "colour" not in Settings.SETTINGS


def test_asdict_hides_secrets_and_imports_nothing() -> None:
    """Passwords are masked, classes that nobody asked for stay paths."""
    conf = make(
        broker="kafka://u:s3cret@a;b",
        store="memory://u:s3cret@x",
        broker_credentials=SASLCredentials(password="s3cret"),
    )
    table = conf.asdict()
    assert "s3cret" not in repr(table)
    assert table["broker_consumer"][0] == URL("kafka://u:***@a")
    assert table["broker_credentials"] == "<SASLCredentials>"
    assert table["Agent"] == "faust:Agent"
    assert table.keys() == Settings.setting_names()


def test_log_handlers_are_fresh() -> None:
    """Two settings objects never share the list of handlers."""
    one, two = make(), make()
    one.loghandlers.append(logging.NullHandler())
    assert two.loghandlers == []
