"""Write ``docs/reference/settings.md`` from the table of settings.

Every fact of the page (type, default, environment variable, words) is in the classes of the sections
in ``src/faust/settings/``; the words are the docstrings under the attributes, which only the source
has, so they are read from its syntax tree.

Usage::

    python scripts/settings_reference.py           # write the page
    python scripts/settings_reference.py --check   # exit 1 when the page is not current
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from faust.settings import Param, Settings
from faust.settings.table import SettingsTable

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

<!-- Written by scripts/settings_reference.py from src/faust/settings/*.py; edit those. -->

Settings are keyword arguments of `faust.App`, and attributes of `app.conf`:

```python
app = faust.App("shop", broker="kafka://localhost:9092", topic_partitions=12)
```

For each setting the first of these that is there wins: its environment variable (with the prefix
`env_prefix`, if there is one), the config object, the keyword argument, the default. `None` means
"not given". A name that is no setting, and a value that a setting cannot have, are errors that name
the setting, the value, where it came from and what is expected. More about that is in the
[guide](../guide/settings.md).

"Since" counts in versions of Faust and faust-streaming.

Times are in seconds (a number, a `timedelta`, or text such as `2.5`) unless the name ends in `_ms`;
sizes are in bytes.
"""

TO_COME = """\
## Not supported yet

These settings are documented for Faust, but their features come with a later release. Giving one of
them anything but its default, from whatever source, is an error, so that nothing is ignored in
silence:
"""


def words_of_settings() -> dict[str, str]:
    """Return the docstring under each attribute of the sections."""
    words: dict[str, str] = {}
    for section in Settings.__bases__:
        assert issubclass(section, SettingsTable)
        (table,) = ast.parse(inspect.getsource(section)).body
        assert isinstance(table, ast.ClassDef)
        for statement, following in zip(table.body, table.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                match following:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        words[statement.target.id] = inspect.cleandoc(text)
    return words


def default_of(param: Param[Any, Any]) -> str:
    """Return the default in words."""
    if param.default_text is not None:
        text = param.default_text
    elif param.default_alias is not None:
        text = f"value of `{param.default_alias}`"
    elif param.name == "broker_client_id":
        text = "`faust-<version of the library>`"
    elif param.default is None:
        text = "none"
    elif param.name == "processing_guarantee":
        text = f"`{param.default.value}`"
    elif param.default == ():
        text = "`[]`"
    else:
        text = f"`{param.default}`"
    if param.process_default is not None:
        text += f", or `FAUST_{param.process_default}` of the environment"
    return text.replace("``", "`")


def only(param: Param[Any, Any]) -> str:
    """Say what a setting may be given whose feature is not built."""
    also = "".join(f" or `{value}`" for value in param.also_built)
    return f"anything but the default{also} is an error"


def entry(param: Param[Any, Any], words: str) -> str:
    """Return the paragraph of one setting."""
    lines = [f"### `{param.name}`", ""]
    if param.deprecated is not None:
        since, reason = param.deprecated
        lines += [f"**Deprecated since {since}:** {reason}.", ""]
    if param.not_built is not None:
        lines += [f"**Not supported yet** ({param.not_built}): {only(param)}.", ""]
    lines += [
        words.replace("``", "`"),
        "",
        f"* Accepts: {param.expected}"
        + (f"; one of {', '.join(map(str, param.choices))}" if param.choices else ""),
        f"* Default: {default_of(param)}",
        f"* Environment: `{param.env}`" if param.env else "* Environment: cannot set it",
        *([f"* Since: {param.since}"] if param.since else []),
        "",
    ]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    words = words_of_settings()
    parts = [INTRODUCTION]
    for section, members in Settings.SETTINGS_BY_SECTION.items():
        parts.append(f"## {section.value}\n")
        parts += [entry(param, words[param.name]) for param in members]
    parts.append(TO_COME)
    to_come = sorted(p.name for p in Settings.SETTINGS.values() if p.not_built is not None)
    parts.append("\n".join(f"* `{name}`" for name in to_come) + "\n")
    parts.append("## Old names\n")
    old = (f"* `{old}` is now `{new}`" for old, new in sorted(Settings.OLD_NAMES.items()))
    parts.append("\n".join(old) + "\n")
    return "\n".join(parts)


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write the reference of settings.")
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    arguments = parser.parse_args()
    text = page()
    if arguments.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is not current: run python scripts/settings_reference.py")
    else:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
