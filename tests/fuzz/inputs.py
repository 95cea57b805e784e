"""Bytes that decoders should not like: noise, valid payloads with damage, and well-made nonsense."""

from __future__ import annotations

import random
from typing import Any

from faust.serializers import codecs
from faust.utils import json

__all__ = ["Inputs"]

TEXTS = ["", "a", "é", "\x00", "x" * 300, "2020-01-02T03:04:05Z", "1.5", "abc", "\U0001f600"]
NUMBERS: list[Any] = [0, -1, 1.5, 2**63, 2**64 - 1, -(2**63), 1e308, -0.0]
KEYS = ["id", "x", "items", "price", "account", "when", "left", "notes", "inner", "a", "__faust"]
BLESSED = [
    {"ns": "test.fuzz.Inner"},
    {"ns": "test.fuzz.Outer"},
    {"ns": "nowhere"},
    {"ns": 3},
    {},
    [],
    "ns",
    None,
]
FRAGMENTS = [
    *(b'{"', b'":', b"[", b"]", b"{}", b"null", b"NaN", b"1e999", b'"\\ud800"', b"\xff\xfe"),
    *(b"--- ", b"&a", b"*a", b"!!python/object:os.system", b"-", b"\n", b"0" * 40),
    *(b"\x80\x05", b"r\xff\xff\xff\x7f", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"),
]


class Inputs:
    """An endless, repeatable supply: input *number* of a *seed* is always the same."""

    def __init__(self, seed: int, samples: list[bytes]) -> None:
        """Take a seed, and JSON that some type reads."""
        self.seed = seed
        names = [name for name in codecs.codecs if name != "pickle"]
        plain = [self.tree(random.Random(number), 3) for number in range(60)]
        self.samples = samples
        self.valid: list[bytes] = []
        for name in names:
            for obj in plain + [json.loads(sample) for sample in samples]:
                for chain in (name, f"json|{name}"):
                    try:
                        data = codecs.dumps(chain, obj)
                    except Exception:
                        continue
                    if isinstance(data, bytes):
                        self.valid.append(data)

    def tree(self, pick: random.Random, depth: int) -> Any:
        """Return a plain object, the kind that JSON has."""
        kind = pick.randrange(8 if depth else 4)
        if kind == 0:
            return pick.choice(TEXTS)
        if kind == 1:
            return pick.choice(NUMBERS)
        if kind == 2:
            return pick.choice([None, True, False])
        if kind == 3:
            return pick.randrange(-1000, 1000)
        if kind == 4:
            return [self.tree(pick, depth - 1) for _ in range(pick.randrange(4))]
        made = {pick.choice(KEYS): self.tree(pick, depth - 1) for _ in range(pick.randrange(6))}
        if "__faust" in made:
            made["__faust"] = pick.choice(BLESSED)
        return made

    def __getitem__(self, number: int) -> bytes:
        pick = random.Random(self.seed * 1_000_003 + number)
        kind = pick.randrange(6)
        if kind == 0:
            return pick.randbytes(pick.randrange(64))
        if kind == 1:
            return b"".join(pick.choices(FRAGMENTS, k=pick.randrange(1, 8)))
        if kind == 2:
            return json.dumps(self.tree(pick, 4))
        data = bytearray(pick.choice(pick.choice([self.samples, self.valid])))
        if kind == 3:
            return bytes(data)
        for _ in range(pick.randrange(1, 4)):
            self._damage(pick, data)
        return bytes(data)

    @staticmethod
    def _damage(pick: random.Random, data: bytearray) -> None:
        place = pick.randrange(len(data) + 1)
        match pick.randrange(5):
            case 0:
                data[place : place + 1] = bytes([pick.randrange(256)])
            case 1:
                del data[place:]
            case 2:
                data[place:place] = pick.choice(FRAGMENTS)
            case 3:
                del data[place : place + pick.randrange(8)]
            case _:
                data += data[place : place + 20]
