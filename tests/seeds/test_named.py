"""Every name that the published documents name is in the tables of public names (issue 7, acceptance 1).

`tests/test_public_api.py` checks each line of those tables against the code, so what is found there exists, and takes the
parameters that documents show.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import faust
from tests.seeds import named
from tests.test_public_api import Name, documented, names

HOLDERS = {
    "faust.app.App": named.APP,
    "faust.app.BootStrategy": named.BOOT,
    "faust.worker.Worker": named.WORKER,
}

INSTEAD = "no setting: an error says what to do instead (tests/unit/settings/test_second_names.py)"

NO_NAMES = {
    "faust.Settings.MY_SETTING": "an example of a setting that somebody adds (test_settings.py::test_make_configref)",
    "faust.Settings.autodiscovery": "004 means the setting autodiscover",
    "faust.App.topic(topic)": "given by position: *topics",
    "faust.App.timer(seconds)": "003 gives it by position, and writes interval= in its own examples",
    "faust.App(quiet)": INSTEAD,
    "faust.App(no_color)": INSTEAD,
    "faust.App(broker_retry_delay)": INSTEAD,
    "faust.App(broker_retry_max_delay)": INSTEAD,
    "faust.App(broker_retry_backoff_type)": INSTEAD,
}
"""What documents write though it is nothing that a program could use -> why."""


def known_as(dotted: str) -> str:
    """Return the name of a thing that has several, as the documents' list has it."""
    for home, short in HOLDERS.items():
        if dotted == home or dotted.startswith((f"{home}.", f"{home}(")):
            return short + dotted.removeprefix(home)
    return dotted


def tabled() -> Iterator[str]:
    """Yield every name of the tables; parameters in brackets."""
    for parameter in names():
        (name,) = parameter.values
        assert isinstance(name, Name)
        home = name.holder.removeprefix("instance ")
        thing = known_as(f"{home}.{name.path}")
        yield from (home, thing)
        if "(" in name.line.partition(" = ")[0]:
            yield from (f"{thing}({shown.name})" for shown in documented(name.line))
        if home == "faust.Settings":
            yield f"{named.APP}({name.path})"
    yield from (f"{named.APP}({old})" for old in faust.Settings.OLD_NAMES)


def listed() -> list[tuple[str, str]]:
    """Return the names of the list, each with the number of its document."""
    number, found = "", []
    for line in named.LIST.read_text().splitlines():
        if line.startswith("["):
            number = line.strip("[]")
        elif line and not line.startswith("#"):
            found.append((number, known_as(line)))
    return found


def test_the_documents_name_nothing_that_is_not_checked() -> None:
    """Names, parameters and settings of the five documents are in the tables of public names."""
    checked = set(tabled())
    missing = [
        f"{number}: {name}" for number, name in listed() if name not in checked | set(NO_NAMES)
    ]
    assert not missing, "\n".join(missing)


def test_exceptions_are_needed() -> None:
    """What counts as no name is named by a document, and is not in the tables."""
    assert set(NO_NAMES) <= {name for _, name in listed()}
    assert not set(NO_NAMES) & set(tabled())


def test_all_documents_were_read() -> None:
    """The list has the names of five documents; some of each kind are among them."""
    found = listed()
    assert list(dict.fromkeys(number for number, _ in found)) == [
        "000",
        "001",
        "002",
        "003",
        "004",
    ]
    for known in [
        ("000", "faust.Worker.on_setup_root_logger(level)"),
        ("001", "faust.App.maybe_start_producer"),
        ("001", "faust.Settings.relative_to_appdir(path)"),
        ("001", "faust.BootStrategy.kafka_client_consumer"),
        ("002", "faust.App.Table(standby_buffer_size)"),
        ("003", "faust.App(broker_retry_backoff_type)"),
        ("004", "faust.App.on_partitions_revoked"),
        ("004", "faust.transports.Conductor"),
    ]:
        assert known in found


@pytest.mark.skipif(not named.documents(), reason="the documents are not at hand (../shared/seeds)")
def test_the_list_is_what_the_documents_say() -> None:
    """Reading the documents again gives the same list."""
    assert len(named.documents()) == 5
    assert named.LIST.read_text() == named.listed()
