"""Model classes and values, drawn at random but always the same, as source text that both sides run."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Case", "make_cases"]


class Case(NamedTuple):
    """What both sides are given."""

    source: str
    name: str
    """Class of the value; empty: plain objects."""
    value: str
    same_bytes: bool
    """Whether both must write the same bytes.

    Not so where the reference, without orjson, has a form of its own (serialization.md 2.1): text
    beyond printable ASCII, dates, tiny numbers (``1e-07``, where orjson writes ``1e-7``).
    """


@dataclass
class Drawn:
    """A type and an expression of a value of it."""

    type: str
    value: str
    same_bytes: bool = True


WORDS = ["", "a", "hello world", 'quo"te', "back\\slash", "tab\t", "/", "null"]
FOREIGN = ["é", "日本", "\U0001f600", "\u2028", "\u007f"]


class Maker:
    """Draws one case after the other."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def case(self, number: int) -> Case:
        """Draw a class with up to two other models in its fields, and a value."""
        inner = [f"Inner{number}x{part}" for part in range(self.pick.randrange(3))]
        source, values, same = [], {}, True
        for name in inner:
            lines, values[name], equal = self.model(name, {})
            source.append(lines)
            same &= equal
        lines, value, equal = self.model(f"Model{number}", values)
        return Case("\n\n".join([*source, lines]), f"Model{number}", value, same and equal)

    def model(self, name: str, others: dict[str, str]) -> tuple[str, str, bool]:
        """Return the source of a class, an instance, and whether its bytes are the same everywhere."""
        fields = [self.field(others) for _ in range(self.pick.randrange(1, 8))]
        lines, arguments, defaulted = [], [], []
        for number, drawn in enumerate(fields):
            if self.pick.random() < 0.2 and not drawn.type.startswith("Optional"):
                drawn.type = f"Optional[{drawn.type}]"
                if self.pick.random() < 0.4:
                    drawn.value = "None"
            line = f"    f{number}: {drawn.type}"
            if self.pick.random() < 0.15 and drawn.type in {"int", "str", "float"}:
                defaulted.append(f"{line} = {drawn.value}")
                if self.pick.random() < 0.5:
                    continue
            else:
                lines.append(line)
            arguments.append(f"f{number}={drawn.value}")
        source = "\n".join([f"class {name}(faust.Record{self.keywords()}):", *lines, *defaulted])
        same = all(drawn.same_bytes for drawn in fields)
        return source, f"{name}({', '.join(arguments)})", same

    def keywords(self) -> str:
        """Draw class keywords."""
        chosen = {
            "serializer": self.pick.choice(["'json'", "'json'", "'json|binary'", ""]),
            "isodates": self.pick.choice(["True", "True", ""]),
            "decimals": self.pick.choice(["True", ""]),
            "include_metadata": self.pick.choice(["False", "", "", ""]),
            "allow_blessed_key": self.pick.choice(["True", "", "", ""]),
            "polymorphic_fields": self.pick.choice(["True", "", "", "", ""]),
            "coerce": self.pick.choice(["True", "", ""]),
        }
        return "".join(f", {name}={value}" for name, value in chosen.items() if value)

    def field(self, others: dict[str, str]) -> Drawn:
        """Draw a type and a value, also of the *others*, which are models."""
        if others and self.pick.random() < 0.35:
            name = self.pick.choice(list(others))
            return self.around(Drawn(name, others[name]))
        return self.around(self.scalar()) if self.pick.random() < 0.4 else self.scalar()

    def around(self, inner: Drawn) -> Drawn:
        """Put a container around a type, or nothing."""
        match self.pick.randrange(4):
            case 0:
                return Drawn(f"List[{inner.type}]", f"[{inner.value}]", inner.same_bytes)
            case 1:
                value = f"{{'k': {inner.value}, 'l': {inner.value}}}"
                return Drawn(f"Dict[str, {inner.type}]", value, inner.same_bytes)
            case 2:
                return Drawn(f"Tuple[{inner.type}, ...]", f"({inner.value},)", inner.same_bytes)
            case _:
                return inner

    def scalar(self) -> Drawn:
        """Draw one of the types that are written as themselves or as text."""
        pick = self.pick
        match pick.randrange(12):
            case 0:
                return Drawn(
                    "int", repr(pick.choice([0, -1, 2**53, -(2**63), pick.randrange(10**6)]))
                )
            case 1:
                return Drawn("float", repr(pick.choice([0.0, 1.5, 1e100, 1e16, pick.random()])))
            case 2:
                return Drawn("str", repr(pick.choice(WORDS)))
            case 3:
                return Drawn("str", repr(pick.choice(FOREIGN)), same_bytes=False)
            case 4:
                return Drawn("bool", pick.choice(["True", "False"]))
            case 5:
                return Drawn("Decimal", f"Decimal({pick.choice(['1.10', '0', '-1E+3', '12.5'])!r})")
            case 6:
                zone = pick.choice(
                    ["", ", tzinfo=timezone.utc", ", tzinfo=timezone(timedelta(hours=2))"]
                )
                return Drawn(
                    "datetime", f"datetime(2020, 1, 2, 3, 4, 5, {pick.choice([0, 123456])}{zone})"
                )
            case 7:
                return Drawn("UUID", f"UUID(int={pick.randrange(2**64)})")
            case 8:
                return Drawn("Set[int]", f"{{{pick.randrange(9)}}}")
            case 9:
                return Drawn("date", "date(2020, 1, 2)", same_bytes=False)
            case 10:
                return Drawn("float", "1e-07", same_bytes=False)
            case _:
                return Drawn("Any", self.plain(2))

    def plain(self, depth: int) -> str:
        """Draw an expression of plain objects that every JSON has one form for."""
        kind = self.pick.randrange(6 if depth else 4)
        if kind < 4:
            return [
                repr(self.pick.randrange(-99, 99)),
                repr(self.pick.choice(WORDS)),
                self.pick.choice(["None", "True", "1.5", "Decimal('1.0')", "UUID(int=5)"]),
                "(1, 'a')",
            ][kind]
        if kind == 4:
            return f"[{', '.join(self.plain(depth - 1) for _ in range(self.pick.randrange(3)))}]"
        keys = self.pick.sample(["a", "b", "c"], self.pick.randrange(3))
        return f"{{{', '.join(f'{key!r}: {self.plain(depth - 1)}' for key in keys)}}}"


def make_cases(models: int, plain: int, seed: int = 4) -> list[Case]:
    """Return *models* cases of model classes and *plain* of plain objects."""
    maker = Maker(seed)
    drawn = [maker.case(number) for number in range(models)]
    values = [maker.plain(4) for _ in range(plain)]
    # no key is no bytes (serialization.md 3.3); theirs, asked for it directly, writes `null`
    values = [value if value != "None" else "[None]" for value in values]
    return drawn + [Case("", "", value, same_bytes=True) for value in values]
