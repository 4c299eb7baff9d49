"""The parts of `alertmanager.yml` that decide what reaches Relay. Keys that it does not need are passed over.

Contract: Alertmanager's configuration up to 0.34. Whether all of it is valid is for `amtool check-config` to say.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from relay.config.document import Route as Way
from relay.config.types import duration

PATH = "/api/v1/webhooks/alertmanager/"
"""Where Relay takes alerts in: then comes the source, and perhaps a secret."""

_GO_DURATION = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+")
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_GO_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}

T = TypeVar("T")


def _prometheus_duration(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta() if str(value) == "0" else duration(str(value))


def _go_duration(value: Any) -> timedelta:
    """Read a duration of Go, which `timeout` is: `10s`, `1.5s`, `1m30s`."""
    if isinstance(value, timedelta):
        return value
    if str(value) != "0" and not _GO_DURATION.fullmatch(str(value)):
        raise ValueError("write a duration such as 10s or 1m30s")
    return timedelta(seconds=sum(float(n) * _GO_SECONDS[unit] for n, unit in _GO_PART.findall(str(value))))


_OR_NOTHING = BeforeValidator(lambda value: () if value is None else value)
Many = Annotated[tuple[T, ...], _OR_NOTHING]
"""A list; Alertmanager takes a key without a value for an empty one."""
Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]
"""Text; a number without quotes is taken as it is written."""
Pairs = Annotated[dict[str, Text], BeforeValidator(lambda value: {} if value is None else value)]
Span = Annotated[timedelta, BeforeValidator(_prometheus_duration)]
GoSpan = Annotated[timedelta, BeforeValidator(_go_duration)]


def split(url: str) -> SplitResult:
    """Take an address apart; of one that is none all parts are empty."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


class Part(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Http(Part):
    """`http_config`. One that a receiver writes takes the place of the global one as a whole."""

    follow_redirects: bool = True
    basic_auth: dict[str, Any] | None = None
    authorization: dict[str, Any] | None = None
    bearer_token: str | None = None
    bearer_token_file: str | None = None
    oauth2: dict[str, Any] | None = None
    http_headers: dict[str, Any] | None = None

    @property
    def has_credentials(self) -> bool:
        """Say whether a request carries an Authorization header."""
        headers = {name.lower() for name in self.http_headers or {}}
        given = (self.basic_auth, self.authorization, self.bearer_token, self.bearer_token_file, self.oauth2)
        return any(one is not None for one in given) or "authorization" in headers


class Webhook(Part):
    """One of `webhook_configs`."""

    url: str = ""
    url_file: str = ""
    send_resolved: bool = True
    max_alerts: int = 0
    timeout: GoSpan = timedelta()
    http_config: Http | None = None
    payload: Any = None

    @property
    def address(self) -> SplitResult:
        """The address in its parts; a template in it is left as it is."""
        return split(self.url)

    @property
    def tail(self) -> list[str]:
        """What follows Relay's path: the source, and perhaps the secret."""
        return self.address.path.partition(PATH)[2].split("/")


class Receiver(Part):
    """A receiver: only webhooks can lead to Relay."""

    name: Text
    webhook_configs: Many[Webhook] = ()


class Route(Part):
    """A route as it is written; what it inherits is not in it."""

    receiver: Text | None = None
    group_by: tuple[str, ...] | None = None
    group_wait: Span | None = None
    group_interval: Span | None = None
    repeat_interval: Span | None = None
    matchers: Many[str] = ()
    match: Pairs = {}
    match_re: Pairs = {}
    goes_on: bool = Field(default=False, alias="continue")
    routes: Many["Route"] = ()
    mute_time_intervals: Many[Text] = ()
    active_time_intervals: Many[Text] = ()


class Times(Part):
    """A span within a day."""

    start_time: Text = ""
    end_time: Text = ""


class Interval(Part):
    """One interval: all of what it names must hold."""

    times: Many[Times] = ()
    weekdays: Many[Text] = ()
    days_of_month: Many[Text] = ()
    months: Many[Text] = ()
    years: Many[Text] = ()
    location: str | None = None

    @property
    def names(self) -> set[str]:
        """The fields that narrow it."""
        return {name for name in ("times", "weekdays", "days_of_month", "months", "years") if getattr(self, name)}


class Intervals(Part):
    """A name for intervals, one of which must hold."""

    name: Text
    time_intervals: Many[Interval] = ()


class Inhibition(Part):
    """One of `inhibit_rules`."""

    source_matchers: Many[str] = ()
    source_match: Pairs = {}
    source_match_re: Pairs = {}
    target_matchers: Many[str] = ()
    target_match: Pairs = {}
    target_match_re: Pairs = {}
    equal: Many[str] = ()


class Global(Part):
    """`global`."""

    http_config: Http | None = None


class Alertmanager(Part):
    """`alertmanager.yml`."""

    everywhere: Global | None = Field(default=None, alias="global")
    route: Route
    receivers: Many[Receiver] = ()
    time_intervals: Many[Intervals] = ()
    mute_time_intervals: Many[Intervals] = ()
    inhibit_rules: Many[Inhibition] = ()

    def webhooks(self) -> list[tuple[Way, Receiver, Webhook]]:
        """The webhooks that post to Relay, each with the way to it; without any, those whose `url_file` may say so."""
        found: list[tuple[Way, Receiver, Webhook]] = [
            (("receivers", i, "webhook_configs", j), receiver, webhook)
            for i, receiver in enumerate(self.receivers)
            for j, webhook in enumerate(receiver.webhook_configs)
        ]
        certain = [one for one in found if PATH.rstrip("/") in one[2].url]
        return certain or [one for one in found if one[2].url_file]

    def to_relay(self) -> set[str]:
        """The names of the receivers that post to Relay."""
        return {receiver.name for _, receiver, _ in self.webhooks()}

    def http_of(self, webhook: Webhook) -> Http:
        """The HTTP settings in force."""
        return webhook.http_config or (self.everywhere and self.everywhere.http_config) or Http()
