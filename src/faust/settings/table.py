"""How a value is decided: the machine under the table of settings.

`SettingsTable` collects the descriptors of its subclass and gives every setting its value. For
each of them the first of these wins:

1. the environment variable (with ``env_prefix``, when there is one);
2. the config object;
3. the keyword argument;
4. the default of the process (``FAUST_X`` or ``F_X``), for the few settings that have one;
5. another setting (``default_alias``, followed at every read);
6. the default.

Everything is decided in the order of the table, once, and converted at once; so a wrong value is an
error at construction, never later. The identity (``version``, ``id_format``) is resolved like the
rest, and the id is rendered when all the rest is known.

Every value keeps its *source* in words: errors name it, and the command line asks `is_default`
before it offers a default of its own.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from types import ModuleType
from typing import Any, ClassVar, Self, dataclass_transform

from mode.utils.imports import import_from_cwd, smart_import

from faust.exceptions import AlreadyConfiguredWarning, ImproperlyConfigured
from faust.settings import params
from faust.settings.params import Param, SectionType

__all__ = ["ConfigSource", "SettingsTable", "is_strict", "values_of"]

DEFAULT = "the default"
PREFIX_VARIABLE = "APP_ENV_PREFIX"


def values_of(source: Any) -> tuple[Mapping[str, Any], bool]:
    """Read a config object.

    Arguments:
        source: A mapping, a module or any other object (its attributes are read, inherited ones
            included), or the import path of one: ``pkg.module``, ``pkg.module:attribute`` or
            ``pkg.module.attribute``. The current directory is importable meanwhile.

    Returns:
        The values by name, and whether every name must be that of a setting (true for mappings;
        modules and objects may have other attributes).

    Raises:
        ImportError, AttributeError: the path leads nowhere.
    """
    source = ConfigSource(source).load()
    if isinstance(source, Mapping):
        return source, True
    names = (name for name in dir(source) if not name.startswith("_"))
    values = {name: getattr(source, name) for name in names}
    return {k: v for k, v in values.items() if not isinstance(v, ModuleType)}, False


class ConfigSource:
    """A config object that is imported when it is wanted.

    Arguments:
        source: As for `values_of`; None: there is none.
        silent: A path that leads nowhere counts as empty.
    """

    def __init__(self, source: Any, *, silent: bool = False) -> None:
        self._source = source
        self._silent = silent

    def load(self) -> Any:
        """Return the object, imported if a path was given.

        Raises:
            ImportError, AttributeError: the path leads nowhere, and that does not count as empty.
        """
        if not isinstance(self._source, str):
            return self._source
        try:
            return smart_import(self._source, imp=import_from_cwd)
        except (ImportError, AttributeError):
            if not self._silent:
                raise
            return None


def is_strict() -> bool:
    """Say whether ``FAUST_STRICT`` or ``F_STRICT`` has any text, even ``0``."""
    return any(os.environ.get(name) for name in ("FAUST_STRICT", "F_STRICT"))


@dataclass_transform(
    kw_only_default=True,
    field_specifiers=(
        params.Param,
        params.Id,
        params.Str,
        params.Bool,
        params.Int,
        params.UnsignedInt,
        params.Port,
        params.Seconds,
        params.URL,
        params.BrokerList,
        params.Path,
        params.Dict,
        params._Symbol,
        params.Enum,
        params.Timezone,
        params.Severity,
        params.Codec,
        params.SSLContext,
        params.Credentials,
        params.LogHandlers,
    ),
)
class SettingsTable:
    """Values for the descriptors of the class.

    Arguments:
        id: Name of the application.
        env: Environment to read instead of `os.environ`.
        config_source: Config object or its import path, see `values_of`.
        **options: Settings. None means "not given".

    Raises:
        ImproperlyConfigured: an unknown or unsupported setting, or (as `params.InvalidSetting`) a
            value that a setting cannot have.
    """

    SETTINGS: ClassVar[dict[str, Param[Any, Any]]] = {}
    """Every setting by name, in the order of the table."""
    SETTINGS_BY_SECTION: ClassVar[dict[SectionType, list[Param[Any, Any]]]] = {}
    """Every setting by chapter."""
    OLD_NAMES: ClassVar[Mapping[str, str]] = {}
    """Names of long ago -> names of today."""
    OLD_UNITS: ClassVar[Mapping[str, int]] = {}
    """Names of long ago whose values have another unit -> how many of today's units that is."""
    NO_SETTINGS: ClassVar[Mapping[str, str]] = {}
    """Names that are taken for settings -> what to do instead."""

    _id: str
    _name: str

    def __init_subclass__(cls, section: SectionType = SectionType.COMMON) -> None:
        inherited = [getattr(base, "SETTINGS", {}) for base in cls.__bases__]
        found = {k: v for k, v in vars(cls).items() if isinstance(v, Param) and v.kw_only}
        for param in found.values():
            param.section = section
        cls.SETTINGS = {k: v for table in (*inherited, found) for k, v in table.items()}
        sections: dict[SectionType, list[Param[Any, Any]]] = {s: [] for s in SectionType}
        for param in cls.SETTINGS.values():
            sections[param.section].append(param)
        cls.SETTINGS_BY_SECTION = {s: ps for s, ps in sections.items() if ps}

    def __init__(
        self,
        id: str,
        *,
        env: Mapping[str, str] | None = None,
        config_source: Any = None,
        **options: Any,
    ) -> None:
        self._env: Mapping[str, str] = os.environ if env is None else env
        self._values: dict[str, Any] = {}
        self._sources: dict[str, str] = {}
        self._explicit: set[str] = set()
        self._seen: set[str] = set()
        given = self._given(options, "keyword argument", strict=True)
        if config_source is not None:
            values, strict = values_of(config_source)
            values = {name: value for name, value in values.items() if name != "id"}
            given.update(self._given(values, "config object", strict=strict))
        self._prefix = self._prefix_of(given.get("env_prefix"))
        for param in self.SETTINGS.values():
            self._decide(param, given.get(param.name))
        self._identify(id)
        self.on_init(id, **options)
        self._seen.clear()

    def _prefix_of(self, given: tuple[Any, str] | None) -> str:
        """Return what the names of variables begin with: nothing, or text that ends with one ``_``."""
        text = self._env.get(PREFIX_VARIABLE)
        prefix, source = (given or ("", "")) if text is None else (text, "the environment")
        if not isinstance(prefix, str):
            kind = type(prefix).__name__
            raise self.SETTINGS["env_prefix"].invalid(
                prefix, source, TypeError(f"{kind} is not text")
            )
        return prefix.rstrip("_") + "_" if prefix else ""

    def on_init(self, id: str, **options: Any) -> None:
        """Called with the arguments when every setting has its value; override it."""

    def getenv(self, env_name: str) -> str | None:
        """Return the text of environment variable *env_name*, looked up with the prefix."""
        return self._env.get(self._prefix + env_name)

    @classmethod
    def setting_names(cls) -> set[str]:
        """Return the names of the settings that are not deprecated."""
        return {name for name, param in cls.SETTINGS.items() if param.deprecated is None}

    def is_default(self, name: str) -> bool:
        """Say whether setting *name* has its default, be it that of the process (``FAUST_X``)."""
        return name not in self._explicit

    def source_of(self, name: str) -> str:
        """Say in words where the value of setting *name* came from."""
        return self._sources[name]

    def assign(self, name: str, value: Any, source: str) -> None:
        """Give setting *name* a value on behalf of *source* (such as ``option --datadir``).

        Unlike plain assignment it does not warn when the setting has been read before.

        Raises:
            InvalidSetting: the setting cannot have the value.
        """
        self._store(self.SETTINGS[name], value, source)

    def copy(self) -> Self:
        """Return settings with the same values, which can be changed without changing these."""
        other = copy(self)
        for name in ("_values", "_sources", "_explicit", "_seen"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def shown(self, name: str) -> Any:
        """Return the value of setting *name* with secrets hidden."""
        param = self.SETTINGS[name]
        return param.shown(self._shown_value(param))

    def asdict(self) -> dict[str, Any]:
        """Return the values of all settings that are not deprecated, with secrets hidden.

        Nothing is imported: a class that nobody has asked for yet is shown as its path.
        """
        return {
            name: self.shown(name)
            for name, param in self.SETTINGS.items()
            if param.deprecated is None
        }

    def _shown_value(self, param: Param[Any, Any]) -> Any:
        if isinstance(param, params._Symbol) and param.name not in self._values:
            return param.default
        return self._look(param)

    # -- construction

    def _given(
        self, values: Mapping[str, Any], source: str, *, strict: bool
    ) -> dict[str, tuple[Any, str]]:
        """Pick the settings out of *values*: name -> (value, source)."""
        given: dict[str, tuple[Any, str]] = {}
        for written, value in values.items():
            name = self.OLD_NAMES.get(written, written)
            if value is not None and written in self.OLD_UNITS:
                value = value * self.OLD_UNITS[written]  # noqa: PLW2901 - the same, in today's unit
            if name not in self.SETTINGS:
                if written in self.NO_SETTINGS and value is None:
                    continue
                if strict:
                    raise ImproperlyConfigured(self._unknown(written, source))
            elif name in given and value is not None:
                raise ImproperlyConfigured(
                    f"{source}s {written!r} and {name!r} are the old and the new name of one "
                    f"setting: give {name!r} only"
                )
            elif value is not None:
                given[name] = (value, f"{source} {written}")
            if name != written:
                warnings.warn(
                    f"setting {written!r} is now called {name!r}", FutureWarning, stacklevel=3
                )
        return given

    def _unknown(self, name: str, source: str) -> str:
        if name in self.NO_SETTINGS:
            return f"{name!r} ({source}) is no setting: {self.NO_SETTINGS[name]}"
        nearest = difflib.get_close_matches(str(name), [*self.SETTINGS, *self.OLD_NAMES], n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        return f"unknown setting {name!r} ({source}).{hint}"

    def _decide(self, param: Param[Any, Any], given: tuple[Any, str] | None) -> None:
        found = next(self._candidates(param, given), None)
        if found is not None:
            self._store(param, *found)
            return
        found = next(self._process_defaults(param), None)
        if found is not None:
            self._values[param.name] = param.accept(*found)
            self._sources[param.name] = found[1]
            return
        self._sources[param.name] = DEFAULT
        if param.default_alias is not None or isinstance(param, params._Symbol):
            return  # found when it is read
        value = param.derived(self) if param.derived is not None else None
        if value is None:
            value = param.default
        if value is not None:
            self._values[param.name] = param.coerce(value, DEFAULT)

    def _candidates(
        self, param: Param[Any, Any], given: tuple[Any, str] | None
    ) -> Iterator[tuple[Any, str]]:
        if param.env is not None:
            prefix = "" if param.env == PREFIX_VARIABLE else self._prefix
            text = self._env.get(prefix + param.env)
            if text is not None:
                yield text, f"environment variable {prefix}{param.env}"
        if given is not None:
            yield given

    def _process_defaults(self, param: Param[Any, Any]) -> Iterator[tuple[Any, str]]:
        if param.process_default is not None:
            for variable in (f"FAUST_{param.process_default}", f"F_{param.process_default}"):
                if variable in self._env:
                    yield self._env[variable], f"environment variable {variable}"

    def _identify(self, id: str) -> None:
        raise NotImplementedError

    # -- what the descriptors call

    def _get(self, param: Param[Any, Any]) -> Any:
        if param.deprecated is not None:
            since, reason = param.deprecated
            warnings.warn(
                f"setting {param.name!r} is deprecated since version {since}: {reason}",
                UserWarning,
                stacklevel=3,
            )
        self._seen.add(param.name)
        return self._look(param)

    def _look(self, param: Param[Any, Any]) -> Any:
        """Read without leaving a trace."""
        try:
            value = self._values[param.name]
        except KeyError:
            if param.default_alias is not None:
                return self._look(self.SETTINGS[param.default_alias])
            if param.default is None:
                return None
            # the class that a default names is imported when somebody wants it
            value = self._values[param.name] = param.coerce(param.default, DEFAULT)
        return param.read(self, value)

    def _set(self, param: Param[Any, Any], value: Any) -> None:
        if param.name in self._seen:
            old = param.shown(self._look(param))
            warnings.warn(
                f"setting {param.name!r} was read before it is changed from {old!r} to "
                f"{param.shown(value)!r}: whoever has read it keeps the old value",
                AlreadyConfiguredWarning,
                stacklevel=3,
            )
        self._store(param, value, "assignment")

    def _store(self, param: Param[Any, Any], value: Any, source: str) -> None:
        if value is not None:
            if isinstance(param, params._Symbol) and value == param.default:
                self._values.pop(param.name, None)  # imported when it is read
            else:
                self._values[param.name] = param.accept(value, source)
            self._sources[param.name] = source
            self._explicit.add(param.name)
        elif param.is_number and not param.optional:
            raise param.invalid(value, source, TypeError("None is not a number"))
        else:
            self._values.pop(param.name, None)
            self._explicit.discard(param.name)
            self._decide(param, None)
