"""The codecs gzip and zstd, and the pickle that fickling looks at."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import pickle
import struct
import sys
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from faust.exceptions import ImproperlyConfigured
from faust.serializers import codecs
from faust.serializers.codecs import get_codec


@pytest.mark.parametrize("name", ["json|gzip", "json|zstd", "json|gzip|binary", "raw|zstd|gzip"])
@given(data=st.text(max_size=300))
def test_round_trip(name: str, data: str) -> None:
    """What is compressed comes back, alone and in chains (issue 4, compression codecs)."""
    read = codecs.loads(name, codecs.dumps(name, data))
    assert read == (data.encode() if name.startswith("raw") else data)


def test_other_programs_read_and_write_it() -> None:
    """The data is plain gzip (RFC 1952) and Zstandard (RFC 8878), also in several gzip members."""
    assert gzip.decompress(codecs.dumps("json|gzip", {"a": 1})) == b'{"a":1}'
    assert zstandard.decompress(codecs.dumps("json|zstd", {"a": 1})) == b'{"a":1}'
    assert codecs.loads("json|gzip", gzip.compress(b'{"a"') + gzip.compress(b":1}")) == {"a": 1}
    without_size = zstandard.ZstdCompressor().compressobj()
    frame = without_size.compress(b"[1]") + without_size.flush()
    assert codecs.loads("json|zstd", frame) == [1]


def test_arguments_are_kept_by_copies() -> None:
    """Level and limit survive being put into a chain."""
    chain = codecs.json() | codecs.gzip(level=9, max_size=10) | codecs.zstd(level=1)
    assert repr(chain) == f"json() | gzip(9, 10) | zstd(1, {codecs.MAX_DECOMPRESSED})"


@pytest.mark.parametrize("codec", [codecs.gzip(max_size=1000), codecs.zstd(max_size=1000)])
def test_bombs_are_refused(codec: Any) -> None:
    """A few bytes that would grow beyond the limit are an error, not a full memory."""
    assert len(codec.loads(codec.dumps(b"x" * 1000))) == 1000
    with pytest.raises(ValueError, match="grows beyond 1000 bytes"):
        codec.loads(codec.dumps(b"x" * 1001))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "trailing"])
def test_damaged_data(name: str, damage: str) -> None:
    """Damaged data is an error, and never read as something shorter."""
    whole = codecs.dumps(name, os.urandom(100))
    data = {"empty": b"", "cut": whole[:-10], "garbage": b"hello", "trailing": whole + b"xyz"}[
        damage
    ]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        codecs.loads(name, data)
    assert not isinstance(caught.value, MemoryError)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_only_bytes_and_text_can_be_compressed(name: str) -> None:
    """Whoever forgets the codec before it is told so."""
    assert codecs.loads(name, codecs.dumps(name, "é")) == b"\xc3\xa9"
    with pytest.raises(TypeError, match=rf"'json\|{name}'"):
        codecs.dumps(name, {"a": 1})


@pytest.mark.parametrize(
    ("name", "library"), [("zstd", "zstandard"), ("pickle_fickling", "fickling")]
)
def test_without_its_library(monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> None:
    """Without its library a codec says what to install, before the first message and at each."""
    data = codecs.dumps(name, b"x")
    monkeypatch.setitem(sys.modules, library, None)
    for attempt in (
        lambda: codecs.dumps(name, b"x"),
        lambda: codecs.loads(name, data),
        get_codec(name).nodes[0].check,
    ):
        with pytest.raises(ImproperlyConfigured, match=f"pip install {library}"):
            attempt()


# -- fickling


@pytest.mark.parametrize("value", [{"a": [1, 2.5, b"x", None]}, (1, "é"), {1, 2}, 10**30])
def test_fickling_reads_plain_data(value: Any) -> None:
    """Plain data passes the scan (serialization.md 1.2, pickle_fickling)."""
    assert codecs.loads("pickle_fickling", codecs.dumps("pickle_fickling", value)) == value


class Evil:
    """Would run a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return (os.system, ("true",))


@pytest.mark.parametrize("value", [Evil(), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)])
def test_fickling_refuses_calls(value: Any) -> None:
    """Whatever calls something is refused as an UnpicklingError (serialization.md 1.2)."""
    with pytest.raises(pickle.UnpicklingError, match="refused by fickling"):
        codecs.loads("pickle_fickling", codecs.dumps("pickle_fickling", value))


# -- greed

GREEDY = {
    "memo": b"\x80\x02Nr" + struct.pack("<I", 2**31) + b".",
    "memo in text": b"Np99999999999\n.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
}


@pytest.mark.parametrize("data", GREEDY.values(), ids=list(GREEDY))
@pytest.mark.parametrize("name", ["pickle_restricted", "pickle_fickling"])
def test_greedy_pickles_are_refused(name: str, data: bytes) -> None:
    """Ten bytes that make the unpickler fetch gigabytes are refused before they do (1.5)."""
    with pytest.raises(pickle.UnpicklingError):
        codecs.loads(name, codecs.dumps("binary", data))
