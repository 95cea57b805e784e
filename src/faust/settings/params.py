"""One descriptor class per kind of setting.

A setting is a class attribute: a descriptor that knows its default, the environment variable that
may set it, and how to turn what people write (a keyword argument, the text of an environment
variable) into what the program reads. Two type parameters say both: ``Param[IT, OT]`` accepts
``IT`` and gives ``OT``; type checkers follow them through `typing.dataclass_transform`, so
``Settings(broker_commit_interval=[])`` is an error in the editor already.

Rules of this file:

* Conversion is pure: text or value in, value out, or one of the built-in errors. `Param.accept` is
  the border: it turns that error into `InvalidSetting`, which names the setting, the value, where
  the value came from and what is expected, and which is *also* an instance of the built-in error,
  so that ``except ValueError`` works.
* A value may hold a password. Nothing here puts a value into a message or a table except through
  `Param.shown`.
* None means "not given".
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import re
import ssl
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, timedelta, tzinfo
from pathlib import Path as FilePath
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast, overload

from mode.utils.imports import symbol_by_name
from mode.utils.times import want_seconds
from yarl import URL as YarlURL  # noqa: N811 - the public name of the descriptor is URL

from faust import auth
from faust.exceptions import ImproperlyConfigured

__all__ = [
    "LOG_LEVELS",
    "URL",
    "Bool",
    "BrokerList",
    "Codec",
    "Credentials",
    "Dict",
    "Enum",
    "Holder",
    "Id",
    "Int",
    "InvalidSetting",
    "LogHandlers",
    "Param",
    "Path",
    "Port",
    "SSLContext",
    "Seconds",
    "SectionType",
    "Severity",
    "Str",
    "Timezone",
    "UnsignedInt",
    "_Symbol",
    "mask_password",
    "mask_secrets",
]

IT = TypeVar("IT", contravariant=True)  # noqa: PLC0105 - the documented names
OT = TypeVar("OT", covariant=True)  # noqa: PLC0105

SHOWN_AT_MOST = 200
"""Characters of a value that a message shows."""


class SectionType(enum.Enum):
    """The chapters of the reference of settings, in order."""

    COMMON = "Common"
    AGENT = "Agent"
    BROKER = "Broker"
    CONSUMER = "Consumer"
    PRODUCER = "Producer"
    SERIALIZATION = "Serialization"
    RPC = "RPC"
    STREAM = "Stream"
    TABLE = "Table"
    TOPIC = "Topic"
    WEB_SERVER = "Web server"
    WORKER = "Worker"
    EXTENSION = "Extension classes"


# -- errors


class InvalidSetting(ImproperlyConfigured):
    """A setting was given a value that it cannot have.

    Also an instance of the built-in error that the conversion raised (`TypeError`, `ValueError`,
    `KeyError`, `ImportError`, `AttributeError`).

    Attributes:
        setting: Name of the setting.
        source: Where the value came from, in words.
        expected: What the setting accepts, in words.
    """

    setting: str = ""
    source: str = ""
    expected: str = ""

    def __str__(self) -> str:
        return str(self.args[0])


def _that_is_also(builtin: type[Exception]) -> type[InvalidSetting]:
    namespace = {"__module__": __name__, "__qualname__": InvalidSetting.__qualname__}
    made = type(InvalidSetting.__name__, (InvalidSetting, builtin), namespace)
    return cast("type[InvalidSetting]", made)


_ERRORS: Mapping[type[Exception], type[InvalidSetting]] = {
    builtin: _that_is_also(builtin)
    for builtin in (
        ModuleNotFoundError,
        ImportError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    )
}


def _error_class(cause: Exception) -> type[InvalidSetting]:
    """Return the `InvalidSetting` that is also what *cause* is."""
    found = (made for builtin, made in _ERRORS.items() if isinstance(cause, builtin))
    return next(found, InvalidSetting)


_PASSWORD = re.compile(r"(://[^:/\s]*):.*@", re.DOTALL)
_SECRET_NAME = re.compile(r"pass(word|phrase|wd)|secret|token|credential|api_?key", re.IGNORECASE)
_SECRET_ARGUMENT = re.compile(
    rf"([?&][^=&#]*(?:{_SECRET_NAME.pattern})[^=&#]*=)[^&#]*", re.IGNORECASE
)


def mask_password(text: str) -> str:
    """Hide passwords of the URLs in *text*: ``kafka://user:***@host?token=***``."""
    return _SECRET_ARGUMENT.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


def mask_secrets(value: Any) -> Any:
    """Return *value*, nested mappings and lists included, with what has the name of a secret hidden."""
    if isinstance(value, Mapping):
        return {
            key: "***" if _SECRET_NAME.search(str(key)) and item else mask_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_secrets(item) for item in value]
    return mask_password(value) if isinstance(value, str) else value


# -- the base


class Holder(Protocol):
    """What a descriptor needs of the object it sits on."""

    def _get(self, param: Param[Any, Any]) -> Any: ...

    def _set(self, param: Param[Any, Any], value: Any) -> None: ...

    def _identify(self, id: str) -> None: ...


class Param(Generic[IT, OT]):
    """A setting: a descriptor that accepts ``IT`` and gives ``OT``.

    Arguments:
        default: Value when nothing is given. Converted like any other. None: the setting is
            optional.
        env: Environment variable, without prefix. None: the environment cannot set it.
        process_default: ``FAUST_<this>`` or ``F_<this>`` sets the default for the whole process.
        default_alias: Name of another setting whose value is the default, followed at every read.
        derived: Computes the default from the settings above it, once, at construction; when it
            gives None, *default* is taken.
        default_text: The default in words, for the reference.
        choices: The only values (after conversion) that are valid. None: no such limit.
        not_built: The feature, in words, that is still to come. Until it does, the setting can only
            be given its default: whoever builds the feature takes this argument away.
        also_built: Further values that hold without that feature.
        refused: Documented values that this release does not support -> what to do instead.
        since: Version of the API that has brought the setting. None: the first.
        deprecated: Since which version, and why. Reading the setting warns.
        kw_only: Read by type checkers only.
    """

    expected: ClassVar[str] = "anything"
    is_number: ClassVar[bool] = False

    name: str = ""
    section: SectionType = SectionType.COMMON
    """Chapter of the reference: that of the class the setting stands in."""

    def __init__(
        self,
        *,
        default: Any = None,
        env: str | None = None,
        process_default: str | None = None,
        default_alias: str | None = None,
        derived: Callable[[Any], Any] | None = None,
        default_text: str | None = None,
        choices: Collection[Any] | None = None,
        not_built: str | None = None,
        also_built: Collection[Any] = (),
        refused: Mapping[Any, str] | None = None,
        since: str | None = None,
        deprecated: tuple[str, str] | None = None,
        kw_only: bool = True,
    ) -> None:
        self.default = default
        self.env = env
        self.process_default = process_default
        self.default_alias = default_alias
        self.derived = derived
        self.default_text = default_text
        self.choices = choices
        self.not_built = not_built
        self.also_built: Collection[Any] = also_built
        self.refused: Mapping[Any, str] | dict[Any, str] = refused or {}
        self.since = since
        self.deprecated = deprecated
        self.kw_only = kw_only

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    @property
    def optional(self) -> bool:
        """Whether None is a value of this setting."""
        return self.default is None and self.derived is None and self.default_alias is None

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(self, obj: object, owner: type | None = None) -> OT: ...

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else obj._get(self)

    def __set__(self, obj: object, value: IT) -> None:
        cast("Holder", obj)._set(self, value)

    def convert(self, value: Any) -> Any:
        """Turn *value* into what is read; raise a built-in error when that cannot be."""
        return value

    def read(self, conf: Any, value: Any) -> Any:  # noqa: ARG002 - for those that depend on conf
        """Return what an attribute read gives for the stored *value*."""
        return value

    def shown(self, value: Any) -> Any:
        """Return *value* with every secret hidden."""
        return mask_password(value) if isinstance(value, str) else value

    def accept(self, value: Any, source: str) -> Any:
        """Convert and check a *value* that was given.

        Raises:
            InvalidSetting: naming setting, value, source and what is expected.
            ImproperlyConfigured: the feature behind it is not built yet.
        """
        if self.not_built is not None:
            self._refuse_unless_harmless(value, source)
        converted = self.coerce(value, source)
        try:
            reason = self.refused.get(converted)
        except TypeError:  # not hashable, so not refused
            reason = None
        if reason is not None:
            raise ImproperlyConfigured(
                f"setting {self.name!r}: {converted!s} ({source}) is not supported yet. {reason}"
            )
        return converted

    def coerce(self, value: Any, source: str) -> Any:
        """Convert and check *value*, be it given or a default.

        Raises:
            InvalidSetting: naming setting, value, source and what is expected.
        """
        try:
            converted = self.convert(value)
            if self.choices is not None and converted not in self.choices:
                raise ValueError(f"choose one of {', '.join(map(str, self.choices))}")
        except InvalidSetting:
            raise
        except Exception as exc:
            raise self.invalid(value, source, exc) from exc
        return converted

    def _refuse_unless_harmless(self, value: Any, source: str) -> None:
        harmless = (self.default, *self.also_built)
        if value in harmless:
            return
        with contextlib.suppress(Exception):  # what cannot be converted is no default
            if self.convert(value) in [self.convert(each) for each in harmless]:
                return
        raise ImproperlyConfigured(
            f"setting {self.name!r} ({source}) is not supported yet: its feature, {self.not_built}, "
            f"comes with a later release. Leave it out."
        )

    def invalid(self, value: Any, source: str, cause: Exception) -> InvalidSetting:
        """Make the error that says why *value* cannot be."""
        got = mask_password(repr(self.shown(value)))
        if len(got) > SHOWN_AT_MOST:
            got = got[:SHOWN_AT_MOST] + "..."
        detail = str(cause.args[0]) if isinstance(cause, KeyError) and cause.args else str(cause)
        error = _error_class(cause)(
            f"setting {self.name!r}: expected {self.expected}, "
            f"got {got} from {source}: {mask_password(detail)}"
        )
        error.setting, error.source, error.expected = self.name, source, self.expected
        return error


# -- kinds of settings


class Id(Param[str, str]):
    """The identity: assigned the name, it gives the name with the version."""

    expected = "the name of the application, as text"

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(self, obj: object, owner: type | None = None) -> str: ...

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        return self if obj is None else obj._id

    def __set__(self, obj: Any, value: str) -> None:
        obj._identify(value)


class Str(Param["str | None", str]):
    """Text; taken as it is."""

    expected = "text"


_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0", ""), False),
}


AUTO = "auto"


def version_tuple(version: str) -> tuple[int, ...]:
    """Return the numbers of a version such as ``0.10.2``.

    Raises:
        ValueError: It is none.
    """
    return tuple(int(number) for number in version.split("."))


class ApiVersion(Str):
    """``auto``, or a version of the protocol."""

    expected = "'auto' or the version of a broker, such as '2.8'"

    def convert(self, value: Any) -> str:
        """Check that it is one."""
        version = str(value)
        if version != AUTO:
            version_tuple(version)
        return version


class Bool(Param["bool | str | None", bool]):
    """A switch. Text is matched without regard to case, anything else by its truth."""

    expected = "true, yes, on, 1 or false, no, off, 0"

    def convert(self, value: Any) -> bool:
        """Read a word of the table, or the truth of an object."""
        if not isinstance(value, str):
            return bool(value)
        try:
            return _BOOLEANS[value.lower()]
        except KeyError:
            raise TypeError(f"Cannot coerce {value!r} to type bool") from None


class Int(Param["int | float | str | None", int]):
    """A whole number, within bounds."""

    expected = "a whole number"
    is_number = True
    minimum: ClassVar[int | None] = None
    maximum: ClassVar[int | None] = None

    def __init__(
        self, *, min_value: int | None = None, words: Mapping[str, int] | None = None, **kw: Any
    ) -> None:
        super().__init__(**kw)
        self.min_value: int | None = self.minimum if min_value is None else min_value
        self.words: Mapping[str, int] | dict[str, int] = words or {}

    def convert(self, value: Any) -> int:
        """Read a whole number and check its bounds."""
        number = self.words[value] if isinstance(value, str) and value in self.words else int(value)
        low, high = self.min_value, self.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            above = f"{low} or more" if high is None else f"between {low} and {high}"
            raise ValueError(f"{number} of type {type(self).__name__} must be {above}")
        return number


class UnsignedInt(Int):
    """A whole number of zero or more."""

    expected = "a whole number of 0 or more"
    minimum: ClassVar[int | None] = 0


class Port(Int):
    """A TCP port."""

    expected = "a port number between 1 and 65535"
    minimum: ClassVar[int | None] = 1
    maximum: ClassVar[int | None] = 65535


class Seconds(Param["float | timedelta | str | None", float]):
    """A time in seconds; a rate such as ``3/m`` becomes a number per second."""

    expected = "a number of seconds, a timedelta, or text such as '2.5'"
    is_number = True

    def convert(self, value: Any) -> float:
        """Read a time or a rate."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | timedelta):
            raise TypeError(f"{type(value).__name__} is not a time")
        try:
            return want_seconds(value)
        except KeyError as exc:
            raise KeyError(f"unknown unit {exc.args[0]!r}, choose s, m, h or d") from None


class URL(Param["str | YarlURL | None", YarlURL]):
    """A URL."""

    expected = "a URL such as 'memory://'"

    def convert(self, value: Any) -> YarlURL:
        """Parse a URL."""
        return YarlURL(value)

    def shown(self, value: Any) -> Any:
        """Hide the password."""
        return _shown_url(value)


def url_text(url: YarlURL) -> str:
    """Return the text of a URL, with the slashes that yarl leaves out where no host is: ``memory:``, ``local:/path``."""
    text = str(url)
    if url.scheme and not url.host and url.path[:1] in {"", "/"} and "://" not in text:
        return text.replace(":", "://", 1)
    return text


def _shown_url(value: Any) -> Any:
    if isinstance(value, YarlURL):
        return YarlURL(mask_password(str(value)))
    return mask_password(value) if isinstance(value, str) else value


class BrokerList(Param["str | YarlURL | Iterable[str | YarlURL] | None", "list[YarlURL]"]):
    """Broker URLs; those without a scheme get that of the first that has one, else ``kafka``."""

    expected = "a broker URL, several separated by ';' or ',', or a list of them"
    default_scheme: ClassVar[str] = "kafka"

    def convert(self, value: Any) -> list[YarlURL]:
        """Split a list and complete the schemes."""
        if isinstance(value, YarlURL):
            return [value]
        if isinstance(value, str):
            items: list[Any] = re.split("[;,]", value) if value else []
        elif isinstance(value, Iterable):
            items = list(value)
        else:
            raise TypeError(f"{type(value).__name__} is not a list of brokers")
        if not items:
            raise ValueError("the list of brokers is empty")
        texts = [url_text(item) if isinstance(item, YarlURL) else item for item in items]
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"{type(text).__name__} in the list of brokers")
        schemes = (text.partition("://")[0] for text in texts if "://" in text)
        scheme = next(schemes, self.default_scheme)
        return [YarlURL(text if "://" in text else f"{scheme}://{text}") for text in texts]

    def shown(self, value: Any) -> Any:
        """Hide the password."""
        if isinstance(value, list | tuple):
            return [_shown_url(item) for item in value]
        return _shown_url(value)


class Path(Param["str | FilePath | None", FilePath]):
    """A path; ``~`` is expanded."""

    expected = "a path"

    def convert(self, value: Any) -> FilePath:
        """Expand the home directory."""
        return FilePath(value).expanduser()


class Dict(Param["Mapping[str, Any] | str | Iterable[tuple[str, Any]] | None", Mapping[str, Any]]):
    """A mapping; text is read as JSON."""

    expected = "a mapping, its JSON text, or an iterable of pairs"

    def convert(self, value: Any) -> Mapping[str, Any]:
        """Read JSON, a mapping or pairs."""
        if isinstance(value, str):
            value = json.loads(value)
            if not isinstance(value, dict):
                raise TypeError(f"the JSON text is a {type(value).__name__}, not an object")
        return value if isinstance(value, Mapping) else dict(value)

    def shown(self, value: Any) -> Any:
        """Hide what has the name of a secret."""
        return mask_secrets(value)


class _Symbol(Param[Any, Any]):
    """A class or function, or its dotted path.

    A path that was given is imported at once, a default when it is first read.
    """

    expected = "a class or function, or its path 'package.module:Name'"

    def convert(self, value: Any) -> Any:
        """Import a path."""
        symbol = symbol_by_name(value) if isinstance(value, str) else value
        if not callable(symbol):
            raise TypeError(f"{type(symbol).__name__} cannot be called")
        return symbol


E = TypeVar("E", bound=enum.Enum)


class Enum(Param["E | str | None", E]):
    """A member of an enumeration, or its value."""

    def __init__(self, members: type[E], **kw: Any) -> None:
        super().__init__(**kw)
        self.members = members
        self.expected: str = "one of " + ", ".join(str(m.value) for m in members)  # type: ignore[misc]

    def convert(self, value: Any) -> E:
        """Find the member."""
        return self.members(value)


class Timezone(Param["tzinfo | str | None", tzinfo]):
    """A time zone, or its name in the IANA data base."""

    expected = "a tzinfo object or the name of a time zone such as 'Europe/Vienna'"

    def convert(self, value: Any) -> tzinfo:
        """Find the zone in the system's data base."""
        if isinstance(value, tzinfo):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{type(value).__name__} is not a time zone")
        return UTC if value.upper() == "UTC" else zoneinfo.ZoneInfo(value)


LOG_LEVELS: Mapping[str, int] = {
    "CRIT": logging.CRITICAL,
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
}
"""Names of log levels, as the command line takes them."""


class Severity(Param["str | int | None", "str | int"]):
    """A log level: its name in any case, or its number; kept as given."""

    expected = "a log level: crit, error, warn, info, debug, or a number"

    def convert(self, value: Any) -> str | int:
        """Check the name of the level."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(f"{type(value).__name__} is not a log level")
        names = {**LOG_LEVELS, **logging.getLevelNamesMapping()}
        if isinstance(value, str) and not value.isdigit() and value.upper() not in names:
            raise ValueError("unknown level")
        return int(value) if isinstance(value, str) and value.isdigit() else value


class Codec(Param[Any, Any]):
    """The name of a codec, several joined by ``|``, or a codec object."""

    expected = "the name of a codec such as 'json', or a Codec object"

    def convert(self, value: Any) -> Any:
        """Refuse what can be neither name nor codec."""
        if isinstance(value, bool | int | float | bytes):
            raise TypeError(f"{type(value).__name__} is not a codec")
        return value


class SSLContext(Param["ssl.SSLContext | None", ssl.SSLContext]):
    """A TLS context."""

    expected = "an ssl.SSLContext"

    def convert(self, value: Any) -> ssl.SSLContext:
        """Refuse anything else."""
        if not isinstance(value, ssl.SSLContext):
            raise TypeError(f"{type(value).__name__} is not an ssl.SSLContext")
        return value


class Credentials(Param["auth.Credentials | ssl.SSLContext | None", "auth.Credentials | None"]):
    """Credentials for the broker. Never text: the environment can therefore not hold them."""

    expected = "a credentials object such as faust.SASLCredentials, or an ssl.SSLContext"

    def convert(self, value: Any) -> auth.Credentials:
        """Wrap a TLS context, refuse text and plain data."""
        return auth.to_credentials(value)

    def shown(self, value: Any) -> Any:
        """Show the class only."""
        return None if value is None else f"<{type(value).__name__}>"


class LogHandlers(Param["Iterable[logging.Handler] | None", "list[logging.Handler]"]):
    """Handlers of the logging library; a fresh list for every Settings object."""

    expected = "a list of logging.Handler objects"

    def convert(self, value: Any) -> list[logging.Handler]:
        """Copy the list and check its members."""
        handlers = list(value)
        for handler in handlers:
            if not isinstance(handler, logging.Handler):
                raise TypeError(f"{type(handler).__name__} is not a logging.Handler")
        return handlers
