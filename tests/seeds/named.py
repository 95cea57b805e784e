"""Read which names the published documents name, and keep them in ``named.txt``.

Names are what a program could write down: dotted names below ``faust`` and ``mode``, methods and attributes of the app and
of the classes that the API documents describe, parameters (of signatures, of calls in the examples, of the lists of
arguments in the guides), settings. Guides say ``app.topic()``: that is ``faust.App.topic``.

The documents are not part of the repository; what was read from them is, so that the names are checked everywhere. Where
they are at hand (``../shared/seeds``, or the directory ``SEEDS`` names) ``test_named.py`` reads them again. To write the
list::

    python -m tests.seeds.named
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).parent / "named.txt"
APP, BOOT, SETTINGS, WORKER = "faust.App", "faust.BootStrategy", "faust.Settings", "faust.Worker"

HOMES = {
    "faust.app.App": APP,
    "faust.app.App.BootStrategy": BOOT,
    "faust.app.App.Settings": SETTINGS,
    "faust.app.BootStrategy": BOOT,
    "faust.worker.Worker": WORKER,
}
"""Class as the documents introduce it -> the name of its members here."""

_CLASS = re.compile(r"class ([\w.]+)\((.*)\)(?:\[source\]| → None\[source\])?")
_MEMBER = re.compile(
    r"(?:async |property )?(\w+)(?:\((.*)\))?(?:: .*| [\w\[.\], ]+(?:\[source\])?|\[source\]| → .*| = .*)?"
)
_DOTTED = re.compile(r"(?<![\w./'`@-])~?((?:faust|mode)(?:\.[A-Za-z_]\w*)+)")
_OF_APP = re.compile(r"(?<![\w.])(?:app|App)\.(?!py\b)([A-Za-z]\w*)")
_CALL = re.compile(r"(?<![\w.])(?:app\.(\w+)|(?:faust\.)?App)\(")
_ROLE = re.compile(r":(setting|meth|signal|class|data):`~?@?([\w.]+)`")
_ARGUMENTS = re.compile(r"(\w+) Arguments")
_ARGUMENT = re.compile(r"\s*[•+]\s+((?:`{0,2}\w+`{0,2}/?)+):")


def documents() -> list[Path]:
    """Return the documents that are at hand, in order."""
    folder = Path(os.environ.get("SEEDS", ROOT.parent / "shared" / "seeds"))
    return sorted(folder.glob("00[0-4]_*.txt"))


def parts_of(arguments: str) -> Iterator[str]:
    """Yield what stands between the commas of *arguments*, but for those within brackets and quotes."""
    depth, quote, part = 0, "", ""
    for sign in arguments:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        depth += (sign in "([{<" and not quote) - (sign in ")]}>" and not quote)
        if sign == "," and depth == 0 and not quote:
            yield part.strip()
            part = ""
        else:
            part += sign
    yield part.strip()


def parameters(signature: str) -> Iterator[str]:
    """Yield the names of the parameters of *signature*."""
    for part in parts_of(signature):
        found = re.match(r"\*{0,2}([a-zA-Z_]\w*)", part)
        if found and found[1] not in {"args", "kwargs", "options", "self"}:
            yield found[1]


def keywords(text: str) -> Iterator[str]:
    """Yield the keywords of the call whose arguments *text* begins with."""
    depth, end = 1, 0
    text = text.partition("\n\n")[0]
    while depth and end < len(text):
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    for part in parts_of(re.sub(r"^(\.\.\. |#.*$)", "", text[: end - 1], flags=re.MULTILINE)):
        found = re.match(r"([a-z_A-Z]\w*)\s*=[^=]", part)
        if found:
            yield found[1]


def everywhere(text: str) -> Iterator[str]:
    """Yield what every document may name: dotted names, names of the app, keywords of calls, roles."""
    for found in _DOTTED.finditer(text):
        yield found[1]
    for found in _OF_APP.finditer(text):
        yield f"{APP}.{found[1]}"
    for found in _CALL.finditer(text):
        what = f"{APP}.{found[1]}" if found[1] else APP
        for keyword in keywords(text[found.end() :]):
            yield f"{what}({keyword})"
    for role, name in _ROLE.findall(text):
        if role == "setting":
            yield f"{SETTINGS}.{name}"
        elif role in {"meth", "signal"}:
            yield f"{APP}.{name.removeprefix('App.')}"


def of_the_api(text: str) -> Iterator[str]:
    """Yield classes, members and parameters of a page that was made from docstrings."""
    home = ""
    for line in text.splitlines():
        if opened := _CLASS.fullmatch(line):
            name = opened[1] if "." in opened[1] else f"faust.app.App.{opened[1]}"
            if name not in HOMES:
                continue  # an example
            home = HOMES[name]
            yield home
            yield from (f"{home}({name})" for name in parameters(opened[2]))
        elif line == "env: Mapping[str, str]":
            home = SETTINGS
            yield f"{home}.env"
            home = APP  # the nested class ends with it
        elif home and (member := _MEMBER.fullmatch(line)) and _is_member(line):
            yield f"{home}.{member[1]}"
            yield from (f"{home}.{member[1]}({name})" for name in parameters(member[2] or ""))


def _is_member(line: str) -> bool:
    described = line.startswith(("property ", "async on_")) or line.endswith("[source]")
    typed = re.match(
        r"\w+(\(.*\) \w|: (ClassVar|bool|Optional|\w+T\b|[A-Z]\w+(\[|$)|logging))", line
    )
    given = re.match(r"\w+ = (None|<)|\w+\(.*\) →", line)
    return bool(described or typed or given) and not line.startswith(("Return", "Note", "Default"))


def of_the_guide(text: str) -> Iterator[str]:
    """Yield the parameters that a guide lists under "... Arguments"."""
    of = ""
    for line in text.splitlines():
        if heading := _ARGUMENTS.fullmatch(line):
            of = "Table" if heading[1] == "Table" else heading[1].lower()
        elif re.match(r"[`@]*app\.", line):
            of = ""
        elif of and (listed := _ARGUMENT.match(line)):
            for name in listed[1].replace("`", "").split("/"):
                yield f"{APP}.{of}({name})"


def of_the_summary(text: str) -> Iterator[str]:
    """Yield the methods and parameters of the blocks marked ``{ .api }``, whose lines have line numbers between them."""
    plain = "\n".join(line for line in text.splitlines() if not line.strip().isdigit())
    for block in re.findall(r"```python \{ \.api \}\n(.*?)```", plain, flags=re.DOTALL):
        for name, arguments in re.findall(r"def (\w+)\((.*?)\):", block, flags=re.DOTALL):
            what = APP if name == "__init__" else f"{APP}.{name}"
            yield what
            yield from (
                f"{what}({parameter})" for parameter in parameters(" ".join(arguments.split()))
            )


def names_in(number: str, text: str) -> set[str]:
    """Return the names that document *number* has."""
    found = set(everywhere(text))
    if number in {"000", "001"}:
        found |= set(of_the_api(text))
    if number == "000":
        found |= {f"{WORKER}({name})" for name in re.findall(r"• \*?(\w+) \(", text)}
    elif number == "003":
        found |= set(of_the_summary(text))
    elif number in {"002", "004"}:
        found |= set(of_the_guide(text))
    return found


def listed() -> str:
    """Return the list: each document's names under its number."""
    lines = [
        "# What the published documents name, read by tests/seeds/named.py; `python -m tests.seeds.named` writes it anew."
    ]
    for path in documents():
        number = path.name[:3]
        lines += ["", f"[{number}]", *sorted(names_in(number, path.read_text()))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if not documents():
        raise SystemExit("there are no documents at ../shared/seeds: say SEEDS=DIRECTORY")
    LIST.write_text(listed())
