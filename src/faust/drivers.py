"""The plug-in tables: which class stands behind a URL scheme.

A driver is named by the scheme of a URL (``kafka://``), found here or among the entry points of the
table's group, and imported on first use; so nothing heavy is imported unless it is used. A full
dotted path (``my.package:Transport``) is accepted wherever a name is; as the scheme of a URL it
is ``my.package.Transport://``, in which the case of the class's name does not matter.

=============  ================================  ====================  =========================
table          built-in schemes                  entry points          contract
=============  ================================  ====================  =========================
`transports`   kafka, aiokafka, memory, local    ``faust.transports``  `faust.transport.base`
`stores`       memory, rocksdb                   ``faust.stores``      `faust.stores.base`
`fixups`       django                            ``faust.fixups``      `faust.fixups.base`
=============  ================================  ====================  =========================
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from yarl import URL

from faust.exceptions import ImproperlyConfigured

__all__ = ["Drivers", "caches", "fixups", "stores", "transports", "web_drivers"]


class Drivers:
    """Driver classes by scheme.

    Arguments:
        kind: What is being driven, for messages: ``"transport"``.
        group: Group of entry points that add schemes (or replace built-in ones).
        builtin: Dotted path of the class, by scheme.
        install: What to install, by scheme, where a driver needs a library that is optional.
        planned: Schemes that are promised and not there yet, with what to use instead.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, str],
        *,
        install: Mapping[str, str] | None = None,
        planned: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self.builtin: dict[str, str] = dict(builtin)
        self.install: dict[str, str] = dict(install or {})
        self.planned: dict[str, str] = dict(planned or {})

    @cached_property
    def paths(self) -> dict[str, str]:
        """Dotted paths by scheme: the built-in ones and those of entry points."""
        found = {point.name: point.value for point in entry_points(group=self.group)}
        return {**self.builtin, **found}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.paths))

    def by_url(self, url: str | URL) -> Any:
        """Return the class that drives *url*, chosen by its scheme.

        Raises:
            ImproperlyConfigured: no driver has that scheme, or it cannot be imported.
        """
        if isinstance(url, URL) and url.scheme:
            return self.by_name(url.scheme)
        scheme, mark, _ = str(url).partition("://")
        return self.by_name(scheme if mark else scheme.removesuffix(":"))

    def by_name(self, name: str) -> Any:
        """Return the class of a scheme, or of a full dotted path.

        Raises:
            ImproperlyConfigured: no driver has that name, or it cannot be imported.
        """
        path = self.paths.get(name)
        if path is None:
            if "." not in name and ":" not in name:
                raise ImproperlyConfigured(self._unknown(name))
            path = name
        return self._import(name, path)

    def _unknown(self, name: str) -> str:
        if name in self.planned:
            return f"{self.kind} {name}:// is not part of this release: {self.planned[name]}"
        near = get_close_matches(name, self.paths, n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        known = ", ".join(f"{scheme}://" for scheme in self)
        return f"there is no {self.kind} for {name}://; known are {known}{hint}"

    def _import(self, name: str, path: str) -> Any:
        module, mark, attribute = path.partition(":")
        if not mark:
            module, _, attribute = path.rpartition(".")
        try:
            found = importlib.import_module(module)
            if name == path and not hasattr(
                found, attribute
            ):  # URLs have their schemes in lower case (RFC 3986, 3.1)
                alike = [each for each in vars(found) if each.lower() == attribute]
                attribute = alike[0] if len(alike) == 1 else attribute
            return getattr(found, attribute)
        except ModuleNotFoundError as exc:
            missing = exc.name or ""
            if module == missing or module.startswith(f"{missing}."):
                raise ImproperlyConfigured(
                    f"the {self.kind} {name!r} is said to be {path}, and there is no module "
                    f"{missing!r}"
                ) from exc
            package = self.install.get(name, missing.partition(".")[0])
            raise ImproperlyConfigured(
                f"the {self.kind} {name!r} needs the library {missing.partition('.')[0]!r}, which "
                f"is not installed. Install it with: pip install '{package}'"
            ) from exc
        except AttributeError as exc:
            raise ImproperlyConfigured(
                f"the {self.kind} {name!r} is said to be {path}, and that module has no "
                f"{attribute!r}"
            ) from exc


transports: Drivers = Drivers(
    "transport",
    "faust.transports",
    {
        "kafka": "faust.transport.drivers.aiokafka:Transport",
        "aiokafka": "faust.transport.drivers.aiokafka:Transport",
        "memory": "faust.transport.drivers.local:Transport",
        "local": "faust.transport.drivers.local:Transport",
    },
    planned={"confluent": "use kafka://"},
)
"""Ways to a broker."""

stores: Drivers = Drivers(
    "table store",
    "faust.stores",
    {"memory": "faust.stores.memory:Store", "rocksdb": "faust.stores.rocksdb:Store"},
    install={"rocksdb": "faust[rocksdb]"},
    planned={"aerospike": "use rocksdb:// or memory://, which recover from the changelog"},
)
"""Where the contents of tables are kept."""

web_drivers: Drivers = Drivers(
    "web server", "faust.web.drivers", {"aiohttp": "faust.web.drivers.aiohttp:Web"}
)
"""What speaks HTTP."""

caches: Drivers = Drivers(
    "cache",
    "faust.web.cache",
    {
        "memory": "faust.web.cache.memory:MemoryCache",
        "redis": "faust.web.cache.redis:RedisCache",
        "rediscluster": "faust.web.cache.redis:RedisClusterCache",
    },
    install={"redis": "faust[redis]", "rediscluster": "faust[redis]"},
)
"""Where answers of views are cached."""

fixups: Drivers = Drivers("fixup", "faust.fixups", {"django": "faust.fixups.django:DjangoFixup"})
"""What makes an app get along with other frameworks."""
