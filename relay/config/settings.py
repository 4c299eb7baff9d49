"""How this process runs: from flags, then the environment (`RELAY_…`), then a settings file, then defaults."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from relay.config.complaints import Complaint, Rejected, complain, suggest, unreadable
from relay.config.document import Document, Place, Route, Unreadable, read
from relay.config.secrets import SecretMissing, one_place_each, read_secret, secrets_of
from relay.config.types import Duration, at_least

Role = Literal["viewer", "responder", "admin"]
Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Of lines of the log."""


def _http(url: str) -> str:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        right = right and not (parts.query or parts.fragment)  # a path is put behind it
    except ValueError:  # a port that is none, or half an IPv6 address
        right = False
    if not right or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("write an address such as http://prometheus:9090")
    return url.rstrip("/")


HttpAddress = Annotated[str, AfterValidator(_http)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    NEEDS: ClassVar[str] = ""
    """A secret without which the section means nothing."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        one_place_each(self, self.NEEDS)
        return self


class AlertmanagerSettings(_Part):
    """The Alertmanagers of one source, which are asked what fires."""

    urls: tuple[HttpAddress, ...] = Field(min_length=1)
    """All of one cluster."""
    receiver: str = Field(min_length=1)
    """The receiver that posts to Relay: alerts of other receivers are not looked at."""
    token_file: str | None = None
    token_env: str | None = None
    every: Annotated[Duration, at_least(timedelta(milliseconds=100))] = timedelta(minutes=1)
    missed_after: Duration = timedelta(minutes=2)
    """How long an alert fires there before it is raised here without a message."""
    absent_after: Duration = timedelta(minutes=5)
    """How long an alert is gone there before it is over here without a message."""

    def token(self) -> str | None:
        """The token to send. Raises `SecretMissing`."""
        return read_secret(self.token_file, self.token_env) if self.token_file or self.token_env else None


class PrometheusAlertsSettings(_Part):
    """The Prometheis whose alerts the source tells of, which are asked since when they are active."""

    urls: tuple[HttpAddress, ...] = Field(min_length=1)
    token_file: str | None = None
    token_env: str | None = None
    every: Annotated[Duration, at_least(timedelta(milliseconds=100))] = timedelta(minutes=1)

    def token(self) -> str | None:
        """The token to send. Raises `SecretMissing`."""
        return read_secret(self.token_file, self.token_env) if self.token_file or self.token_env else None


class Heartbeat(_Part):
    """Somebody outside who pages when Relay's sign of life stops. The address is a secret: it often holds a key."""

    NEEDS = "url"
    url_file: str | None = None
    url_env: str | None = None
    method: Literal["GET", "POST"] = "GET"
    authorization_file: str | None = None
    """What the header `Authorization` says, such as `GenieKey …`."""
    authorization_env: str | None = None
    body_file: str | None = None
    """JSON that is posted; it may hold a key, too."""
    every: Annotated[Duration, at_least(timedelta(seconds=1))] = timedelta(minutes=1)

    @model_validator(mode="after")
    def _only_what_is_posted_has_a_body(self) -> "Heartbeat":
        if self.body_file and self.method != "POST":
            raise ValueError('"body_file" goes with "method: POST"')
        return self

    def url(self) -> str:
        """The address. Raises `SecretMissing`."""
        return read_secret(self.url_file, self.url_env)

    def authorization(self) -> str | None:
        """The value of the header. Raises `SecretMissing`."""
        named = self.authorization_file or self.authorization_env
        return read_secret(self.authorization_file, self.authorization_env) if named else None

    def body(self) -> dict[str, Any] | None:
        """What is posted. Raises `SecretMissing`, also when it is no JSON object."""
        if not self.body_file:
            return None
        try:
            found = json.loads(read_secret(self.body_file, None))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SecretMissing(f"{self.body_file} must hold a JSON object")
        return found


class Source(_Part):
    """Who may post alerts under a name. The file may hold several tokens, a line each, so that they can be changed."""

    NEEDS = "token"
    token_file: str | None = None
    token_env: str | None = None
    watchdog_within: Annotated[Duration, at_least(timedelta(minutes=3))] | None = None
    """Somebody is paged when the source's watchdog was not heard for so long."""
    alertmanager: AlertmanagerSettings | None = None
    prometheus: PrometheusAlertsSettings | None = None

    def tokens(self) -> tuple[str, ...]:
        """The tokens. Raises `SecretMissing`."""
        return tuple(read_secret(self.token_file, self.token_env).split())


class PagerSettings(_Part):
    """A pager whose webhooks are taken. The file may hold several secrets, a line each, so that they can be changed."""

    NEEDS = "webhook_secret"
    type: Literal["pagerduty", "opsgenie"]
    targets: tuple[str, ...] = ()
    """Whose pages it may speak of; without, those of all targets of its type."""
    webhook_secret_file: str | None = None
    webhook_secret_env: str | None = None
    api_token_file: str | None = None
    api_token_env: str | None = None
    """PagerDuty: a read-only REST API key, with which it is asked for all pages that it has put into an incident."""
    region: Literal["us", "eu"] = "us"
    api_url: HttpAddress | None = None
    """Instead of the region's own host of the REST API."""

    @model_validator(mode="after")
    def _what_is_asked(self) -> "PagerSettings":
        if self.type != "pagerduty" and (self.api_token_file or self.api_token_env or self.api_url):
            raise ValueError('only a pager of type pagerduty has "api_token_file", "api_token_env" and "api_url"')
        return self

    def api_token(self) -> str | None:
        """The REST API key. Raises `SecretMissing`."""
        named = self.api_token_file or self.api_token_env
        return read_secret(self.api_token_file, self.api_token_env) if named else None


class Token(_Part):
    """Somebody, or something, who may use the API. `sha256` is the hex digest of the token: safe to keep in git."""

    role: Role
    token_file: str | None = None
    token_env: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if sum(x is not None for x in (self.token_file, self.token_env, self.sha256)) != 1:
            raise ValueError('write exactly one of "token_file", "token_env" and "sha256"')
        return self


class Retention(_Part):
    """How long things are kept. `0s` keeps them for good."""

    inbox: Duration = timedelta(days=30)
    """Webhooks, decided."""
    quarantine: Duration = timedelta(days=90)
    """What could not be used."""
    alerts: Duration = timedelta(days=30)
    """Alerts that have ended."""
    incidents: Duration = timedelta(days=400)
    """Incidents that are closed, with their timelines."""
    announcements: Duration = timedelta(days=400)
    """What was told of maintenance windows; what people did to them is kept for good."""

    def ages(self) -> dict[str, timedelta]:
        """What is removed, and after how long."""
        return {name: age for name in type(self).model_fields if (age := getattr(self, name))}


class PrometheusSettings(_Part):
    """The Prometheus that knows the facts."""

    url: HttpAddress
    token_file: str | None = None
    token_env: str | None = None
    cache: float = Field(default=30, ge=0)
    """Seconds for which a value is believed."""


class Settings(BaseSettings):
    """Everything that is not a rule."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", env_nested_delimiter="__", extra="forbid", frozen=True)

    rules: Path = Path("rules")
    listen: str = "127.0.0.1:9096"
    data: Path = Path("data")
    database: str = ""
    """`sqlite:///…` or `postgresql://…`; a SQLite file in `data` when left out."""
    database_env: str | None = None
    """The environment variable that holds the database URL, when it has a password."""
    external_url: str = ""
    """Relay's address as people reach it, for links."""
    prometheus: PrometheusSettings | None = None
    heartbeat: Heartbeat | None = None
    retention: Retention = Retention()
    sources: dict[str, Source] = {}
    pagers: dict[str, PagerSettings] = {}
    tokens: dict[str, Token] = {}
    log_format: Literal["json", "text"] = "json"
    log_level: Level = "info"

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, listen: str) -> str:
        host, colon, port = listen.rpartition(":")
        if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError("write an address and a port, such as 127.0.0.1:9096 or :9096")
        return f"{host or '0.0.0.0'}:{port}"

    @field_validator("external_url")
    @classmethod
    def _an_address_or_none(cls, url: str) -> str:
        return _http(url) if url else ""

    @field_validator("sources", "pagers", "tokens")
    @classmethod
    def _plain_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if name == "relay":
                raise ValueError('"relay" is the name of Relay itself: choose another')
            if not name or len(name) > 64 or not all(c.isalnum() or c in "-_." for c in name):
                raise ValueError(f'"{name}" is not a name: use up to 64 letters, digits, "-", "_" and "."')
        return named

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    def mistaken_targets(self, types: Mapping[str, str]) -> Iterator[tuple[Route, str]]:
        """Say what is wrong with targets that the settings name, each with the way to it.

        `types` are those of the rules' targets, by name.
        """
        for name, pager in self.pagers.items():
            of_its_type = [target for target, type_ in types.items() if type_ == pager.type]
            for target in pager.targets:
                way = ("pagers", name, "targets")
                if target not in types:
                    yield way, f'there is no target "{target}": {suggest(target, of_its_type)}'
                elif types[target] != pager.type:
                    yield way, f'"{target}" is a target of the type {types[target]}, no {pager.type}'

    def check_secrets(self) -> None:
        """Read every secret that is named. Raises `SecretMissing` with all that are missing, each with its setting."""
        missing = [f"{'.'.join(map(str, way))}: {error}" for way, error in self.missing_secrets()]
        if missing:
            raise SecretMissing("\n".join(missing))

    def missing_secrets(self) -> Iterator[tuple[Route, SecretMissing]]:
        """Give every secret that is named and cannot be had, with the way to its setting."""
        yield from _missing(self, ())
        try:
            self.database_url()
        except SecretMissing as error:
            yield ("database_env",), error

    def database_url(self) -> str:
        """The database's URL. Raises `SecretMissing`."""
        if self.database_env:
            return read_secret(None, self.database_env)
        return self.database or f"sqlite:///{self.data.absolute() / 'relay.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and the file both come as arguments (see `load_settings`); the environment stands between them."""
        return (init_settings,)


def load_settings(file: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Read settings; `flags` that are None were not given. Raises `Rejected` with all that is wrong."""
    document = _document(file)
    environment = _environment()
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**_merge(_merge(dict(document.data), environment), given))
    except ValidationError as invalid:
        raise Rejected(_complain(document, error, environment, given) for error in invalid.errors()) from None


def _missing(part: object, way: Route) -> Iterator[tuple[Route, SecretMissing]]:
    """Secrets of a section, and of those in it, that are named and are not there."""
    if isinstance(part, Mapping):
        for name, inner in part.items():
            yield from _missing(inner, (*way, name))
    elif isinstance(part, BaseModel):
        for name in secrets_of(part):
            file, env = getattr(part, f"{name}_file"), getattr(part, f"{name}_env", None)
            try:
                if file is not None or env is not None:
                    read_secret(file, env)
            except SecretMissing as error:
                yield (*way, f"{name}_{'file' if file is not None else 'env'}"), error
        for name in type(part).model_fields:
            yield from _missing(getattr(part, name), (*way, name))


def _document(file: Path | None) -> Document:
    if file is None:
        return Document("(settings)", ("",), {}, {}, {(): Place("(settings)", 1)})
    try:
        document = read(file)
        if not isinstance(document.data, dict):
            raise Unreadable("a settings file is a mapping", Place(str(file), 1), advice="write keys and values")
        return document
    except Unreadable as error:
        raise Rejected(unreadable(error)) from None


def _environment() -> dict[str, Any]:
    try:
        return dict(EnvSettingsSource(Settings)())
    except SettingsError as error:
        name = re.search('field "(\\w+)"', str(error))
        place = Place(f"RELAY_{name[1].upper()}" if name else "the environment", 0)
        raise Rejected([Complaint(place, "it cannot be read", "write it as JSON, or set its parts")]) from None


def _complain(
    document: Document, error: ErrorDetails, environment: Mapping[str, Any], flags: Mapping[str, Any]
) -> Complaint:
    """Complain at the place that was believed: the flag, else the variable, else the line of the file."""
    said = complain(document, error, Settings)
    way = [str(step) for step in error["loc"]]
    if way and way[0] in flags:
        return Complaint(Place("--" + way[0].replace("_", "-"), 0), said.problem, said.advice)
    if _holds(environment, way):
        return Complaint(Place("RELAY_" + "__".join(way).upper(), 0), said.problem, said.advice)
    return said


def _holds(settings: Any, way: list[str]) -> bool:
    """Whether a setting, or a section that lacks it, was given here."""
    for step in way:
        if not isinstance(settings, Mapping) or step not in settings:
            return False
        settings = settings[step]
    return bool(way)


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merge(dict(merged[name]), value) if both else value
    return merged
