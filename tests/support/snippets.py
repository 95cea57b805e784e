"""Run the Python blocks of a Markdown page, as its reader would type them one after the other.

A page is one program: its ```python blocks run in order in one namespace, and may `await` at their
top level. The word after the language changes that:

* ```python fresh       starts a new program (an empty namespace);
* ```python no-run      is checked for syntax only: it needs what a test has not (say what, in the text);
* ```text output        is what the block above it must have printed, to the letter ("..." for anything).

As a command, ``python -m tests.support.snippets PAGE``: an error shows the page and its line.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```\s*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block: what stands behind the fence, the line of its first line, its text."""

    info: list[str]
    line: int
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of the text of a *page*."""
    for match in _FENCE.finditer(page):
        indent = len(match["indent"])
        text = "".join(line[indent:] or "\n" for line in match["body"].splitlines(keepends=True))
        yield Block(match["info"].split(), page.count("\n", 0, match.start("body")) + 1, text)


async def run(path: Path, text: str) -> int:
    """Run the *text* of the page at *path*; return how many blocks were run.

    Raises:
        AssertionError: a block printed something else than the page says.
    """
    count, printed, namespace = 0, "", _program()
    for block in blocks(text):
        if block.info[:1] == ["python"]:
            if "fresh" in block.info:
                namespace = _program()
            code = compile(
                "\n" * (block.line - 1) + block.text,
                str(path),
                "exec",
                ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            )
            if "no-run" not in block.info:
                printed = await _execute(code, namespace)
                count += 1
        elif block.info == ["text", "output"]:
            pattern = ".*?".join(re.escape(part) for part in block.text.strip().split("..."))
            if not re.fullmatch(pattern, printed.strip(), re.DOTALL):
                raise AssertionError(f"{path}:{block.line}: it printed\n{printed}")
    return count


def _program() -> dict[str, object]:
    """Return the namespace of a new module, one that `inspect` and pickle find."""
    module = types.ModuleType("page")
    sys.modules["page"] = module
    return module.__dict__


async def _execute(code: types.CodeType, namespace: dict[str, object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, namespace)
        else:
            exec(code, namespace)
    return output.getvalue()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {asyncio.run(run(Path(name), Path(name).read_text()))} blocks")
