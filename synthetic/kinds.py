"""What can be written about each kind of probe, in checks and in modules alike."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from string import Template
from typing import Annotated, Any, Literal

import dns.exception
import dns.name
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from relay.config.matchers import compile_regex
from relay.config.types import Duration, Section, at_least, at_most
from synthetic.targets import read_host, read_url

_SECONDS_10 = timedelta(seconds=10)
MOST_BODY = 64 * 1024 * 1024
"""Bytes of a body that a check may ask to have read: bodies are held in memory."""


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression (RE2, as in Prometheus) that is looked for anywhere in a text."""

    text: str
    compiled: Any = field(compare=False, repr=False)

    def found_in(self, text: str) -> bool:
        """Say whether the expression matches somewhere."""
        return self.compiled.search(text) is not None

    def __str__(self) -> str:
        return self.text


def _read_regex(value: Any) -> Regex:
    return value if isinstance(value, Regex) else Regex(str(value), compile_regex(str(value)))


def _read_status(value: Any) -> str:
    return str(value).lower()


def _one_line(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("write it without line breaks and control characters")
    return value


def _not_own(name: str) -> str:
    if name in OWN_LABELS or name.startswith("__"):
        raise ValueError(f"write another label than {name}, which has a meaning already")
    return name


def _latin(value: str) -> str:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("write letters of Latin-1 alone: a header can hold no others") from None
    return value


def _no_tunnel(method: str) -> str:
    if method == "CONNECT":
        raise ValueError("write a method that asks for something: CONNECT is for proxies, see proxy")
    return method


def _host(value: str) -> str:
    read_host(value)
    return value


def _dns_name(value: str) -> str:
    try:
        dns.name.from_text(value)
    except (dns.exception.DNSException, UnicodeError):
        raise ValueError("write a name that DNS can hold, such as shop.example") from None
    return value


def _proxy(value: str) -> str:
    try:
        url = read_url(value)
    except ValueError:
        url = None
    if url is None or url.scheme != "http" or url.path != "/":
        raise ValueError("write a proxy such as http://proxy.example:3128")
    return value


NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
OneRegex = Annotated[
    Regex, BeforeValidator(_read_regex), PlainSerializer(str), WithJsonSchema({"type": "string", "examples": ["^ok"]})
]
Status = Annotated[str, BeforeValidator(_read_status), Field(pattern=r"^[1-5](xx|[0-9][0-9])$")]
"""A status code, or a class of them: 204, 2xx."""
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
OneLine = Annotated[str, AfterValidator(_one_line)]
HeaderValue = Annotated[OneLine, AfterValidator(_latin)]
OWN_LABELS = ("check", "service", "layer", "role", "location", "kind", "instance")
"""Labels that every series of a check has."""
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_not_own)]
MOST_TIMEOUT = timedelta(minutes=5)
Timeout = Annotated[Duration, at_least(timedelta(milliseconds=1)), at_most(MOST_TIMEOUT)]
IpProtocol = Literal["any", "ip4", "ip6"]


class Tls(Section):
    """How a server's certificate is judged, and what we show it."""

    verify: bool = True
    ca_file: str | None = None
    server_name: Annotated[str, AfterValidator(_host)] | None = None
    cert_file: str | None = None
    key_file: str | None = None
    valid_for: Annotated[Duration, at_least(timedelta(0))] = timedelta(0)
    """The probe fails when a certificate of the chain expires sooner."""

    @model_validator(mode="after")
    def _pair(self) -> "Tls":
        if self.key_file and not self.cert_file:
            raise ValueError("write cert_file as well: a key alone is of no use")
        return self


class BasicAuth(Section):
    """A name and a password that an HTTP server, or a proxy, asks for."""

    username: OneLine
    password_file: str


class JsonExpectation(Section):
    """What a value inside of a JSON body is to be."""

    path: Annotated[str, Field(min_length=1)]
    """Keys and positions with dots between them: `database.replicas.0.up`; `\\.` is a dot of a key."""
    equals: str | int | float | bool | None = None
    matches: OneRegex | None = None

    @model_validator(mode="after")
    def _one_expectation(self) -> "JsonExpectation":
        if len({"equals", "matches"} & self.model_fields_set) != 1:
            raise ValueError("write either equals or matches")
        return self


class HttpKeys(Section):
    """A request, and what its answer is to be like."""

    kind: Literal["http"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    tls: Tls = Tls()
    method: Annotated[str, Field(pattern=r"^[A-Z]+$"), AfterValidator(_no_tunnel)] = "GET"
    headers: dict[HeaderName, HeaderValue] = {}  # noqa: RUF012
    header_files: dict[HeaderName, str] = {}  # noqa: RUF012
    """Header to the file that holds its value."""
    body: str = ""
    basic_auth: BasicAuth | None = None
    bearer_token_file: str | None = None
    proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    """An HTTP proxy to go through; https goes through its CONNECT."""
    proxy_auth: BasicAuth | None = None
    redirects: Annotated[int, Field(ge=0, le=20)] = 10
    max_body_bytes: Annotated[int, Field(ge=0, le=MOST_BODY)] = 1024 * 1024
    status: tuple[Status, ...] = ("2xx",)
    encrypted: bool | None = None
    body_matches: tuple[OneRegex, ...] = ()
    body_lacks: tuple[OneRegex, ...] = ()
    headers_match: dict[HeaderName, OneRegex] = {}  # noqa: RUF012
    headers_lack: dict[HeaderName, OneRegex] = {}  # noqa: RUF012
    json_: tuple[JsonExpectation, ...] = Field(default=(), alias="json")

    @model_validator(mode="after")
    def _one_credential(self) -> "HttpKeys":
        if self.basic_auth and self.bearer_token_file:
            raise ValueError("write either basic_auth or bearer_token_file")
        if self.proxy_auth and not self.proxy:
            raise ValueError("write a proxy: proxy_auth is shown to it alone")
        given = {name.lower() for name in self.headers}
        if twice := [name for name in self.header_files if name.lower() in given]:
            raise ValueError(f"write the header {twice[0]} in headers or in header_files")
        return self


class Line(Template):
    """A line in which `${1}` or `${name}` stands for a group of the expression that was met last."""

    idpattern = r"(?a:[0-9]+|[_a-z][_a-z0-9]*)"


class Exchange(Section):
    """One step of a conversation: exactly one of its keys, but for labels."""

    send: str | None = None
    """`${1}` stands for the first group of the `expect` before, `$$` for a dollar sign."""
    expect: OneRegex | None = None
    labels: dict[LabelName, str] = {}  # noqa: RUF012
    """Of `probe_expect_info`, for the line that was expected: its groups, as in `send`."""
    starttls: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_step(self) -> "Exchange":
        if len(self.model_fields_set - {"labels"}) != 1:
            raise ValueError("write one of send, expect and starttls in each step")
        if self.labels and self.expect is None:
            raise ValueError("write labels beside an expect: they tell of the line that was expected")
        return self

    def texts(self) -> Iterator[str]:
        """Every text in which groups may be named."""
        yield from (self.send or "", *self.labels.values())


class TcpKeys(Section):
    """A connection, and perhaps a conversation in lines."""

    kind: Literal["tcp"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    tls: Tls | None = None
    conversation: tuple[Exchange, ...] = ()
    max_bytes: Annotated[int, Field(ge=1, le=MOST_BODY)] = 64 * 1024

    @model_validator(mode="after")
    def _possible(self) -> "TcpKeys":
        if sum(step.starttls is True for step in self.conversation) > 1:
            raise ValueError("write starttls once")
        groups: set[str] = set()
        for step in self.conversation:
            if step.expect:
                found = step.expect.compiled
                groups = {*map(str, range(found.groups + 1)), *found.groupindex}
            for text in step.texts():
                if not Line(text).is_valid():
                    raise ValueError("name groups as ${1} or ${name}, and write $$ for a dollar sign")
                if unknown := set(Line(text).get_identifiers()) - groups:
                    raise ValueError(f"the expression expected before has no group ${{{min(unknown)}}}")
        return self


class TlsKeys(Section):
    """A TLS handshake, and the certificate in it."""

    kind: Literal["tls"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    tls: Tls = Tls()


class DnsKeys(Section):
    """A question to a DNS server, and what its answer is to hold."""

    kind: Literal["dns"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    query: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_dns_name)]
    type: Annotated[str, Field(pattern=r"^[A-Z0-9]+$")] = "A"
    transport: Literal["udp", "tcp"] = "udp"
    recursion: bool = True
    rcodes: Annotated[tuple[str, ...], Field(min_length=1)] = ("NOERROR",)
    answers: tuple[str, ...] = ()
    """Each of them has to be in the answer, as a zone file writes it: `192.0.2.1`, `10 mx1.example.com.`"""
    answers_match: tuple[OneRegex, ...] = ()
    """Each has to be met by a record: by its value, or as a whole (`shop.example.\\t60\\tIN\\tA\\t192.0.2.1`)."""
    answers_all_match: tuple[OneRegex, ...] = ()
    """Each of them has to be met by every record; there has to be one."""
    answers_lack: tuple[OneRegex, ...] = ()


class IcmpKeys(Section):
    """An echo request."""

    kind: Literal["icmp"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    payload_bytes: Annotated[int, Field(ge=8, le=1472)] = 56


class GrpcKeys(Section):
    """The question of grpc.health.v1: is this service well?"""

    kind: Literal["grpc"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    tls: Tls | None = None
    health_of: Annotated[OneLine, Field(max_length=1000)] = ""
    """The service as its server names it; empty for the server as a whole."""


class ValueExpectation(Section):
    """What a query is to give: exactly one of its keys."""

    equals: str | int | float | bool | None = None
    matches: OneRegex | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_expectation(self) -> "ValueExpectation":
        if len(self.model_fields_set) != 1:
            raise ValueError("write one of equals, matches, at_least and at_most")
        return self


class DatabaseKeys(Section):
    """A log-in, a query, and how far replicas are behind."""

    kind: Literal["postgres", "mysql", "redis"]
    timeout: Timeout = _SECONDS_10
    ip_protocol: IpProtocol = "any"
    tls: Tls | None = None
    username: OneLine = ""
    password_file: str | None = None
    database: OneLine = ""
    query: str = ""
    """SQL, or a command of Redis; nothing can be changed by SQL."""
    value: ValueExpectation | None = None
    """What the first column of the first row, or the answer of Redis, is to be."""
    must_be: Literal["primary", "replica"] | None = None
    max_replication_lag: Annotated[Duration, at_least(timedelta(0))] | None = None

    @model_validator(mode="after")
    def _possible(self) -> "DatabaseKeys":
        if self.kind != "redis" and self.tls and self.tls.valid_for:
            raise ValueError(f"write no valid_for: a log-in to {self.kind} does not show the certificate")
        if self.kind != "redis" and not self.username:
            raise ValueError(f"write a username: {self.kind} lets nobody in without one")
        if self.kind == "redis" and self.database and not self.database.isdecimal():
            raise ValueError("write the database of Redis as a number")
        if self.kind == "redis" and self.query and not _words(self.query):
            raise ValueError("write the query as one command of Redis, with an end to every quotation")
        return self


def _words(command: str) -> list[str]:
    """The words of a command; none when a quotation has no end."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
