"""Write the file map in docs/explain/design.md from the first sentence of each module.

``--check`` writes nothing and ends with 1 when the page is behind the code.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explain" / "design.md"
BEGIN, END = "<!-- file map: begin (make docs) -->", "<!-- file map: end -->"


def file_map() -> str:
    """Return one table row per module, in the order of the tree."""
    rows = ["| file | lines | what it is |", "|---|--:|---|"]
    package = ROOT / "src" / "faust"
    for path in sorted(package.rglob("*.py"), key=lambda p: (p.parent.parts, p.name)):
        source = path.read_text()
        said = ast.get_docstring(ast.parse(source)) or ""
        sentence = " ".join(re.split(r"\n\n|(?<=[.!?])\s", said, maxsplit=1)[0].split())
        sentence = re.sub(r"`+", "`", sentence).replace("|", "\\|").rstrip(":")
        lines = source.count("\n")
        rows.append(f"| `{path.relative_to(package)}` | {lines} | {sentence} |")
    return "\n".join(rows)


def main() -> int:
    """Write the page, or say that it is old."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _old, after = rest.split(END)
    new = f"{before}{BEGIN}\n\n{file_map()}\n\n{END}{after}"
    if "--check" in sys.argv:
        return int(new != page)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
