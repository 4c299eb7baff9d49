"""The files of `rules/probes/`: checks that run on a schedule, and modules for `/probe`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

import dns.rcode
import dns.rdatatype
from pydantic import AfterValidator, Field, ValidationError, model_validator

from relay.config.complaints import Complaint, Rejected, complain_at, complaints_of, suggest
from relay.config.document import Document
from relay.config.files import read_all, revision
from relay.config.types import Duration, Placed, Section, at_least, spell_exactly
from synthetic.journeys import BrowserKeys, JourneyKeys
from synthetic.kinds import DatabaseKeys, DnsKeys, GrpcKeys, HttpKeys, IcmpKeys, Name, TcpKeys, TlsKeys
from synthetic.targets import read_host, read_host_port, read_url

DNS_PORT = 53


def _readable(read: Callable[[str], object]) -> AfterValidator:
    """Refuse a target that cannot be read, and keep it as it is written otherwise."""

    def check(target: str) -> str:
        read(target)
        return target

    return AfterValidator(check)


UrlTarget = Annotated[str, _readable(read_url)]
HostPortTarget = Annotated[str, _readable(read_host_port)]
DnsTarget = Annotated[str, _readable(lambda text: read_host_port(text, DNS_PORT))]
DatabaseTarget = Annotated[str, _readable(lambda text: read_host_port(text, 1))]
HostTarget = Annotated[str, _readable(read_host)]


class Confirm(Section):
    """How sure we want to be that a check fails, or that it is well again."""

    after: tuple[Annotated[Duration, at_least(timedelta(milliseconds=1))], ...] = (
        timedelta(seconds=2),
        timedelta(seconds=5),
    )
    failures: Annotated[int, Field(ge=1, le=100)] = 3
    of: Annotated[int, Field(ge=1, le=100)] = 4
    successes: Annotated[int, Field(ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _possible(self) -> "Confirm":
        if self.failures > self.of:
            raise ValueError("write failures that are not more than of")
        return self


class Planned(Section):
    """What every check has, whatever its kind."""

    name: Name
    interval: Annotated[Duration, at_least(timedelta(milliseconds=100))] = timedelta(seconds=30)
    layer: Literal["application", "database", "network"] = "application"
    role: Literal["check", "control"] = "check"
    service: str = ""
    tags: tuple[Name, ...] = ()
    locations: tuple[Name, ...] = ()
    depends_on: tuple[str, ...] = ()
    confirm: Confirm = Confirm()


class HttpCheck(Placed, Planned, HttpKeys):
    """A check of an HTTP server."""

    target: UrlTarget


class TcpCheck(Placed, Planned, TcpKeys):
    """A check of anything that listens."""

    target: HostPortTarget


class TlsCheck(Placed, Planned, TlsKeys):
    """A check of a certificate."""

    target: HostPortTarget


class DnsCheck(Placed, Planned, DnsKeys):
    """A check of a DNS server; the server is the target."""

    target: DnsTarget


class IcmpCheck(Placed, Planned, IcmpKeys):
    """A check that a host answers pings."""

    target: HostTarget


class GrpcCheck(Placed, Planned, GrpcKeys):
    """A check that a gRPC server says it is well."""

    target: HostPortTarget


class DatabaseCheck(Placed, Planned, DatabaseKeys):
    """A check of a database: it lets us in, answers a query, and its replicas keep up."""

    target: DatabaseTarget


class JourneyCheck(Placed, Planned, JourneyKeys):
    """A check of what a user does, request by request."""

    target: UrlTarget


class BrowserCheck(Placed, Planned, BrowserKeys):
    """A check of what a user does, in a browser."""

    target: UrlTarget


Check = HttpCheck | TcpCheck | TlsCheck | DnsCheck | IcmpCheck | GrpcCheck | DatabaseCheck | JourneyCheck | BrowserCheck
Module = HttpKeys | TcpKeys | TlsKeys | DnsKeys | IcmpKeys | GrpcKeys | DatabaseKeys | JourneyKeys | BrowserKeys


class ProbeFile(Section):
    """One file of `rules/probes/`."""

    locations: tuple[Name, ...] = ()
    peers: dict[Name, UrlTarget] = {}  # noqa: RUF012
    """Where the workers of other locations are: they are asked to look, too, when a check fails for the first time."""
    checks: tuple[Annotated[Check, Field(discriminator="kind")], ...] = ()
    modules: dict[Name, Annotated[Module, Field(discriminator="kind")]] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Checks:
    """All that the files say, checked."""

    checks: Mapping[str, Check]
    modules: Mapping[str, Module]
    locations: frozenset[str]
    revision: str
    peers: Mapping[str, str] = field(default_factory=dict)
    """Location to the address of its worker."""

    def at(self, location: str) -> list[Check]:
        """Give the checks that run at a location."""
        return [check for check in self.checks.values() if not check.locations or location in check.locations]


Files = Sequence[tuple[Document, ProbeFile]]


def load(path: Path) -> Checks:
    """Read and check the probe files of a directory, or the one file. Raises `Rejected` with every mistake."""
    documents, complaints = read_all(path)
    files: list[tuple[Document, ProbeFile]] = []
    for document in documents:
        try:
            files.append((document, ProbeFile.model_validate(document.data)))
        except ValidationError as invalid:
            complaints += complaints_of(document, invalid, ProbeFile)
    complaints += [*_duplicates(files), *_unknown(files), *_impossible(files)]
    complaints = complaints or list(_cycles(files))  # what leads to an unknown check leads nowhere
    if complaints:
        raise Rejected(complaints)
    return Checks(
        {check.name: check for _, file in files for check in file.checks},
        {name: module for _, file in files for name, module in file.modules.items()},
        frozenset(name for _, file in files for name in file.locations),
        revision(documents),
        {name: url for _, file in files for name, url in file.peers.items()},
    )


def _each(files: Files) -> Iterator[tuple[Document, tuple[str, int], Any]]:
    for document, file in files:
        for i, check in enumerate(file.checks):
            yield document, ("checks", i), check


def _duplicates(files: Files) -> Iterator[Complaint]:
    seen: dict[str, Check] = {}
    for document, way, check in _each(files):
        if check.name in seen:
            problem = f'there is a check "{check.name}" already, at {seen[check.name].place}'
            yield complain_at(document, (*way, "name"), problem, "give each check a name of its own")
        seen.setdefault(check.name, check)
    modules: set[str] = set()
    for document, file in files:
        for name in file.modules:
            if name in modules:
                problem, advice = f'there is a module "{name}" already', "give each module a name of its own"
                yield complain_at(document, ("modules", name), problem, advice, key=True)
        modules |= file.modules.keys()


def _unknown(files: Files) -> Iterator[Complaint]:
    names = {check.name for _, _, check in _each(files)}
    locations = {name for _, file in files for name in file.locations}
    for document, way, check in _each(files):
        for j, name in enumerate(check.depends_on):
            if name not in names:
                yield complain_at(document, (*way, "depends_on", j), f'no check "{name}"', suggest(name, names))
        for j, name in enumerate(check.locations):
            if name not in locations:
                advice = suggest(name, locations) if locations else f'add "locations: [{name}]" at the top of a file'
                yield complain_at(document, (*way, "locations", j), f'no location "{name}"', advice)


def _impossible(files: Files) -> Iterator[Complaint]:
    for document, way, check in _each(files):
        if check.timeout > check.interval:
            key = "timeout" if "timeout" in check.model_fields_set else "interval"
            problem = f"the timeout ({spell_exactly(check.timeout)}) is longer than the interval"
            yield complain_at(document, (*way, key), problem, "write a timeout of at most the interval")
        if isinstance(check, DnsKeys):
            yield from _dns(document, way, check)
    for document, file in files:
        for name, module in file.modules.items():
            if isinstance(module, DnsKeys):
                yield from _dns(document, ("modules", name), module)


def _dns(document: Document, way: tuple[str | int, ...], keys: DnsKeys) -> Iterator[Complaint]:
    types = [kind.name for kind in dns.rdatatype.RdataType]
    if keys.type not in types:
        yield complain_at(document, (*way, "type"), f'no record type "{keys.type}"', suggest(keys.type, types))
    rcodes = [code.name for code in dns.rcode.Rcode]
    for j, code in enumerate(keys.rcodes):
        if code not in rcodes:
            yield complain_at(document, (*way, "rcodes", j), f'no answer code "{code}"', suggest(code, rcodes))


def _cycles(files: Files) -> Iterator[Complaint]:
    places = {check.name: (document, way) for document, way, check in _each(files)}
    try:
        TopologicalSorter({check.name: check.depends_on for _, _, check in _each(files)}).prepare()
    except CycleError as found:
        around = list(reversed(found.args[1]))
        document, way = places[around[0]]
        problem = f"the checks depend on each other: {' on '.join(around)}"
        yield complain_at(document, (*way, "depends_on"), problem, "take one of them out")
