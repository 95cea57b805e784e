"""Names under which classes and functions are known on the wire."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["module_name", "qualified_name"]


def module_name(module: str) -> str:
    """Return the name of a module; for ``__main__`` the one under which it would be imported.

    So a program that is run as a script and one that imports the same file agree about names. That
    is the script's stem behind the packages (directories with ``__init__.py``) it lies in, the
    outermost first. Without a script (an interactive session, ``-c``) it stays ``__main__``.
    """
    if module != "__main__":
        return module
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file:
        return module
    path = Path(file).resolve()
    parts = [path.stem]
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        parts.append(folder.name)
    return ".".join(reversed(parts))


def qualified_name(obj: Any) -> str:
    """Return ``module.qualname`` of a class or function."""
    return f"{module_name(obj.__module__)}.{obj.__qualname__}"
