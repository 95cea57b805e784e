"""Codecs: serialization.md section 1, as literal bytes."""

from __future__ import annotations

import base64
import collections
import datetime as dt
import os
import pickle
import subprocess
import sys
import uuid
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faust.exceptions import ImproperlyConfigured, SecurityWarning
from faust.serializers import codecs
from faust.serializers.codecs import Codec, RestrictedUnpickler, get_codec


class Reverse(Codec):
    """Turns bytes around; with a prefix, to have an argument."""

    def __init__(self, prefix: bytes = b"", **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(prefix=prefix, **kwargs)

    def _dumps(self, obj: Any) -> bytes:
        return self.prefix + bytes(reversed(codecs.want_bytes(obj)))

    def _loads(self, data: bytes) -> Any:
        return bytes(reversed(data[len(self.prefix) :]))


@pytest.fixture
def reverse() -> Iterator[Codec]:
    """A codec of the user's own, registered as ``reverse``."""
    codec = Reverse(b">")
    codecs.register("reverse", codec)
    yield codec
    del codecs.codecs["reverse"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("raw", "é", b"\xc3\xa9"),
        ("raw", b"\xff", b"\xff"),
        ("raw", 3, 3),
        ("raw", None, None),
        ("json", {"a": 1}, b'{"a":1}'),
        ("json|binary", {"a": 1}, b"eyJhIjoxfQ=="),
        ("json | binary", {"a": 1}, b"eyJhIjoxfQ=="),
        ("|json", {"a": 1}, b'{"a":1}'),
        ("pickle", {"a": 1}, b"gASVCgAAAAAAAAB9lIwBYZRLAXMu"),
        ("binary", "abc", b"YWJj"),
        ("binary", b"\xfb\xff", b"+/8="),
        ("yaml", {"a": [1, "b"]}, b"a:\n- 1\n- b\n"),
        (None, 3, 3),
        ("", 3, 3),
    ],
)
def test_dumps(name: str, value: Any, expected: Any) -> None:
    """Every built-in codec writes the bytes of serialization.md 1.2."""
    assert codecs.dumps(name, value) == expected


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("raw", b"\xff", b"\xff"),
        ("raw", "é", b"\xc3\xa9"),
        ("json", b'{"a":1}', {"a": 1}),
        ("json|binary", b"eyJhIjoxfQ==", {"a": 1}),
        ("binary", b"YWJj", b"abc"),
        ("binary", b"YW\nJj\n", b"abc"),
        ("yaml", b"a: [1, b]", {"a": [1, "b"]}),
        (None, b"x", b"x"),
    ],
)
def test_loads(name: str, data: Any, expected: Any) -> None:
    """Every built-in codec reads what it writes, and a little more."""
    assert codecs.loads(name, data) == expected


def test_bad_base64_is_an_error() -> None:
    """What is no Base64 is refused instead of being read as other bytes."""
    with pytest.raises(ValueError, match=r"base64|padding"):
        codecs.loads("binary", b"hello world")


@given(st.binary(max_size=200), st.sampled_from(["binary", "binary|binary", "raw|binary"]))
def test_round_trip_of_bytes(data: bytes, name: str) -> None:
    """Chains are undone in the opposite order."""
    assert codecs.loads(name, codecs.dumps(name, data)) == data


# -- chains


def test_chain_runs_every_stage_of_the_right_operand() -> None:
    """A chain on the right brings all of its stages: pickle is Base64 there, too."""
    chain = codecs.raw() | codecs.pickle_restricted()
    assert [type(node).__name__ for node in chain.nodes] == [
        "raw",
        "raw_pickle_restricted",
        "binary",
    ]
    data = get_codec("raw|pickle_restricted").dumps(b"x")
    assert base64.b64decode(data, validate=True).startswith(b"\x80\x05")
    assert get_codec("raw|pickle_restricted").loads(data) == b"x"


def test_chain_keeps_the_arguments_of_its_stages() -> None:
    """Joining copies a codec with what it was made from, and leaves the original alone."""
    first = Reverse(b">")
    chain = first | codecs.binary() | Reverse(b"<")
    assert repr(chain) == "Reverse(b'>') | binary() | Reverse(b'<')"
    assert first.children == ()
    assert chain.dumps(b"abc") == b"<" + bytes(reversed(base64.b64encode(b">cba")))
    assert chain.loads(chain.dumps(b"abc")) == b"abc"
    assert repr(codecs.json() | codecs.binary()) == "json() | binary()"
    assert repr(chain.clone(codecs.raw())) == repr(chain) + " | raw()"


def test_only_codecs_can_be_joined() -> None:
    """Anything that is no codec is refused by ``|``."""
    with pytest.raises(TypeError):
        codecs.json() | "binary"


def test_base_class_implements_nothing() -> None:
    """A codec that forgot a direction says which."""
    with pytest.raises(NotImplementedError, match="_dumps"):
        Codec().dumps(1)
    with pytest.raises(NotImplementedError, match="_loads"):
        Codec().loads(b"")


# -- names


@pytest.mark.parametrize("name", ["nope", "nope|json", "json|nope", "json||binary", ""])
def test_unknown_names(name: str) -> None:
    """An unknown stage anywhere in a chain is a KeyError of that stage."""
    with pytest.raises(KeyError) as caught:
        get_codec(name)
    assert caught.value.args == ("nope" if "nope" in name else "",)


def test_unknown_name_says_what_is_known() -> None:
    """The message lists the known names and guesses what was meant."""
    with pytest.raises(
        KeyError, match=r"no codec 'jsn'; known are binary, gzip, json.*mean 'json'\?"
    ):
        get_codec("jsn")


def test_registered_codec(reverse: Codec) -> None:
    """A registered codec is found by its name, alone and in chains; an instance is itself."""
    assert get_codec("reverse") is reverse is get_codec(reverse)
    assert codecs.dumps("reverse|binary", "abc") == base64.b64encode(b">cba")


def test_registering_again_changes_chains(reverse: Codec) -> None:
    """A codec that is replaced is replaced in every chain that names it."""
    assert codecs.dumps("raw|reverse", "abc") == b">cba"
    codecs.register("reverse", Reverse(b"<"))
    assert codecs.dumps("raw|reverse", "abc") == b"<cba"
    assert get_codec("reverse") is not reverse


def test_only_codecs_can_be_registered() -> None:
    """A class instead of an instance is refused where the mistake is made."""
    with pytest.raises(TypeError, match="must be an instance of Codec"):
        codecs.register("x", Reverse)  # type: ignore[arg-type]
    assert "x" not in codecs.codecs


# -- plug-ins


def run_with_plugins(folder: Path, entries: str, program: str) -> str:
    """Run *program* where a distribution with entry points ``faust.codecs`` is installed."""
    info = folder / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[faust.codecs]\n{entries}\n")
    (folder / "plug.py").write_text(
        "from faust.serializers.codecs import Codec, binary, raw\n"
        "print('imported')\n"
        "def shout(): return raw() | binary()\n"
        "def wrong(): return 'json'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", f"from faust.serializers.codecs import *\n{program}"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_plugin_is_imported_on_first_use(tmp_path: Path) -> None:
    """An entry point adds a codec, and replaces a built-in one, when its name is asked for."""
    printed = run_with_plugins(
        tmp_path,
        "shout = plug:shout\nyaml = plug:shout",
        "print(get_codec('json')); print(dumps('json|shout', 'a'), get_codec('shout'))\n"
        "print(get_codec('yaml'), get_codec('shout') is get_codec('shout'))",
    )
    assert printed.splitlines() == [
        "json()",
        "imported",
        "b'ImEi' raw() | binary()",
        "raw() | binary() True",
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("bad = plug:missing", "the codec 'bad' (entry point plug:missing"),
        ("bad = nowhere:codec", "No module named 'nowhere'"),
        ("bad = plug:wrong", "made 'json', which is not a faust.Codec"),
    ],
)
def test_broken_plugin_hurts_only_its_users(tmp_path: Path, entry: str, words: str) -> None:
    """A plug-in that cannot be used raises where it is used, and nowhere else."""
    printed = run_with_plugins(tmp_path, entry, "print(get_codec('json')); get_codec('bad')")
    assert "json()" in printed
    assert "ImproperlyConfigured" in printed
    assert words in printed


def test_yaml_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyYAML both directions say what to install."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImproperlyConfigured, match="pip install PyYAML"):
        codecs.dumps("yaml", 1)
    with pytest.raises(ImproperlyConfigured, match="pip install PyYAML"):
        codecs.loads("yaml", b"1")
    with pytest.raises(ImproperlyConfigured, match="pip install PyYAML"):
        get_codec("yaml").check()


# -- pickles


class Evil:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.system, ("true",))


HARMLESS = [
    {"a": [1, 2.5, None, True, (b"x", "y")], "s": {1}, "f": frozenset({2})},
    collections.OrderedDict(a=1),
    collections.deque([1]),
    collections.Counter("aab"),
    collections.defaultdict(list, a=[1]),
    dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
    dt.timedelta(1),
    Decimal("1.10"),
    uuid.UUID(int=1),
    3 + 4j,
]


@pytest.mark.parametrize("value", HARMLESS, ids=lambda value: type(value).__name__)
def test_restricted_pickle_reads_harmless_values(value: Any) -> None:
    """Plain data and the allowed classes survive the restricted pickle."""
    assert codecs.loads("pickle_restricted", codecs.dumps("pickle_restricted", value)) == value


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        pickle.dumps(len),
        b"cbuiltins\nbytearray\n(I1000000000\ntR.",
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3])[:-3],
    ],
)
def test_restricted_pickle_refuses_the_rest(data: bytes) -> None:
    """Other classes, and what is no pickle at all, raise UnpicklingError."""
    with pytest.raises(pickle.UnpicklingError):
        codecs.loads("pickle_restricted", base64.b64encode(data))


def test_allowed_classes_can_be_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application allows more classes by assigning a larger mapping."""
    data = codecs.dumps("pickle_restricted", Path)
    with pytest.raises(pickle.UnpicklingError, match=r"pathlib.*is not allowed"):
        codecs.loads("pickle_restricted", data)
    more = {**RestrictedUnpickler.ALLOWED_CLASSES, Path.__module__: frozenset({"Path"})}
    monkeypatch.setattr(RestrictedUnpickler, "ALLOWED_CLASSES", more)
    assert codecs.loads("pickle_restricted", data) is Path


def test_every_unrestricted_load_warns() -> None:
    """Reading an unrestricted pickle is warned of each time."""
    data = codecs.dumps("pickle", {"a": 1})
    for _ in range(2):
        with pytest.warns(SecurityWarning, match="run any code"):
            assert codecs.loads("pickle", data) == {"a": 1}


@pytest.mark.parametrize(
    "codec", ["pickle", "json|pickle", codecs.pickle(), codecs.raw() | codecs.pickle()]
)
def test_configuring_pickle_warns(codec: Any) -> None:
    """Whoever configures the unrestricted pickle is warned, by name or by codec."""
    with pytest.warns(SecurityWarning, match="the topic uses the codec 'pickle'"):
        codecs.warn_if_unsafe(codec, "the topic")


@pytest.mark.parametrize("codec", [None, "json", "pickle_restricted", codecs.json()])
def test_configuring_anything_else_does_not_warn(codec: Any) -> None:
    """Nothing else is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codecs.warn_if_unsafe(codec, "the topic")
