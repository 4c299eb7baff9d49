"""`http`: a request, redirects, and what the answer is to be like. Names and phases are blackbox_exporter's."""

import base64
import json
import math
import re
from asyncio import LimitOverrunError
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from aiohttp import CookieJar
from yarl import URL

from synthetic.dial import Connection, dial, encrypt
from synthetic.exchange import Answer, exchange
from synthetic.kinds import BasicAuth, HttpKeys, JsonExpectation
from synthetic.run import Failed, Run, label, timed
from synthetic.secrets import header_secret, secret
from synthetic.targets import Url, read_url

_DOTS = re.compile(r"(?<!\\)\.")
"""What separates the steps of a path of JSON; a dot of a key has a backslash before it."""
_POSITION = re.compile(r"[0-9]{1,9}")
_REDIRECTS = (301, 302, 303, 307, 308)
PHASES = ("resolve", "connect", "tls", "processing", "transfer")


async def probe(keys: HttpKeys, target: str, run: Run) -> None:
    """Ask, follow redirects, and judge the last answer. Raises `Failed`."""
    with measured_phases(run) as phases:
        answer, url = await follow(keys, read_url(target), run, phases)
    measure(answer, url, run)
    judge(keys, answer, url, run)


@contextmanager
def measured_phases(run: Run) -> Iterator[dict[str, float]]:
    """Seconds by phase, to be added to; they are measured in the end, whatever happens."""
    phases = dict.fromkeys(PHASES, 0.0)
    try:
        yield phases
    finally:
        for phase, seconds in phases.items():
            run.measure("probe_http_duration_seconds", seconds, label("phase", phase))


@dataclass(frozen=True, slots=True)
class Private:
    """What of a request is for the target's own origin alone, besides its credentials."""

    headers: Set[str] = frozenset()
    """Their names in small letters."""
    body: bool = False


NOTHING = Private()
_CREDENTIALS = frozenset(("authorization", "cookie", "host", "proxy-authorization"))
"""Headers that are always for the target alone. Where it leads to has a name of its own."""


async def follow(
    keys: HttpKeys,
    url: Url,
    run: Run,
    phases: dict[str, float],
    cookies: CookieJar | None = None,
    private: Private = NOTHING,
) -> tuple[Answer, Url]:
    """Ask, and follow redirects; gives the last answer, and whose it is. Raises `Failed`."""
    origin, method, body = url.origin, keys.method, keys.body.encode()
    own = {name for name in keys.headers if name.lower() in _CREDENTIALS | private.headers}
    shared = [(name, value) for name, value in keys.headers.items() if name not in own]
    whole = [*keys.headers.items(), *_credentials(keys, run)]
    for count in range(keys.redirects + 1):
        headers = whole if url.origin == origin else shared
        answer = await _ask(keys, url, method, body, [*headers, *_kept(cookies, url)], run, phases)
        if cookies is not None:
            given = [value for name, value in answer.headers if name.lower() == "set-cookie"]
            cookies.update_cookies_from_headers(given, URL(str(url)))
        run.measure("probe_http_redirects", count)
        location = answer.header("location")
        if keys.redirects == 0 or answer.status not in _REDIRECTS or location is None:
            return answer, url
        try:
            url = read_url(urljoin(str(url), location))
        except ValueError as error:
            raise Failed("http_redirect", f"it leads to a place that cannot be followed: {error}") from None
        run.note(f"is led to {url}")
        if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
            method, body = "GET", b""
        elif body and private.body and url.origin != origin:
            raise Failed("http_redirect", "it leads elsewhere, and what it is to be told is for the target alone")
    raise Failed("http_redirect", f"it leads on after {keys.redirects} redirects")


def _kept(cookies: CookieJar | None, url: Url) -> list[tuple[str, str]]:
    found = cookies.filter_cookies(URL(str(url))) if cookies is not None else {}
    pairs = "; ".join(f"{one.key}={one.coded_value}" for one in found.values())
    return [("Cookie", pairs)] if pairs else []


def _credentials(keys: HttpKeys, run: Run) -> list[tuple[str, str]]:
    """Headers from files; nobody sees their values. Raises `Failed`."""
    found = [("Authorization", _basic(keys.basic_auth, run))] if keys.basic_auth else []
    if keys.bearer_token_file:
        token = header_secret(keys.bearer_token_file)
        run.hide(token, "token")
        found.append(("Authorization", f"Bearer {token}"))
    for name, file in keys.header_files.items():
        value = header_secret(file)
        run.hide(value, name)
        found.append((name, value))
    return found


def _basic(auth: BasicAuth, run: Run) -> str:
    password = secret(auth.password_file)
    run.hide(password, "password")
    pair = base64.b64encode(f"{auth.username}:{password}".encode()).decode()
    run.hide(pair, "credentials")
    return f"Basic {pair}"


async def _ask(
    keys: HttpKeys,
    url: Url,
    method: str,
    body: bytes,
    more: Sequence[tuple[str, str]],
    run: Run,
    phases: dict[str, float],
) -> Answer:
    run.note(f"{method} {url}")
    tls = keys.tls if url.scheme == "https" else None
    given = {name.lower() for name, _ in more}
    plain = [("Host", url.authority), ("User-Agent", "relay-synthetic"), ("Accept", "*/*"), ("Connection", "close")]
    headers = [*(pair for pair in plain if pair[0].lower() not in given), *more]
    if body or method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(len(body))))
    most = keys.max_body_bytes
    if keys.proxy is None:
        async with dial(url.host, url.port, keys.ip_protocol, tls, run, phases) as connection:
            return await exchange(connection, method, url.path, headers, body, most, run, phases)
    proxy = read_url(keys.proxy)
    passing = [("Proxy-Authorization", _basic(keys.proxy_auth, run))] if keys.proxy_auth else []
    async with dial(proxy.host, proxy.port, keys.ip_protocol, None, run, phases) as connection:
        if tls is None:
            return await exchange(connection, method, str(url), [*headers, *passing], body, most, run, phases)
        with timed("connect", run, phases):
            await _tunnel(connection, url, passing)
        with timed("tls", run, phases):
            await encrypt(connection, tls, url.host, run)
        return await exchange(connection, method, url.path, headers, body, most, run, phases)


async def _tunnel(connection: Connection, url: Url, headers: Sequence[tuple[str, str]]) -> None:
    """Let the proxy connect us through. Raises `Failed`."""
    where = f"{url.authority.rpartition(']')[0]}{']' if ':' in url.host else url.host}:{url.port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", *(f"{name}: {value}" for name, value in headers)]
    connection.writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    try:
        head = await connection.reader.readuntil(b"\r\n\r\n")
    except (EOFError, ValueError, OSError, LimitOverrunError):
        raise Failed("connect_failed", "the proxy did not answer as a proxy does") from None
    if b" 200" not in head.split(b"\r\n")[0]:
        raise Failed("connect_failed", f"the proxy refuses: {head.splitlines()[0].decode('latin-1')[:80]}")


def measure(answer: Answer, url: Url, run: Run) -> None:
    """Measure an answer."""
    run.measure("probe_http_status_code", answer.status)
    run.measure("probe_http_ssl", float(url.scheme == "https"))
    run.measure("probe_http_version", float(answer.version))
    length = answer.header("content-length")
    run.measure("probe_http_content_length", float(length) if length and length.isdigit() else -1.0)
    run.measure("probe_http_uncompressed_body_length", len(answer.body))
    if modified := answer.header("last-modified"):
        try:
            at = parsedate_to_datetime(modified).timestamp()
            run.measure("probe_http_last_modified_timestamp_seconds", at)
        except (ValueError, OverflowError):
            run.note("its Last-Modified is no date")


def judge(keys: HttpKeys, answer: Answer, url: Url, run: Run) -> None:
    """Hold an answer against what it is to be like. Raises `Failed`."""
    run.measure("probe_failed_due_to_regex", 0)
    status = str(answer.status)
    if not any(status == one or (one[1:] == "xx" and status[0] == one[0]) for one in keys.status):
        raise Failed("http_status", f"answers {status}, and not {' or '.join(keys.status)}")
    if keys.encrypted is not None and keys.encrypted != (url.scheme == "https"):
        raise Failed("assertion", "it is not encrypted" if keys.encrypted else "it is encrypted")
    _judge_headers(keys, answer, run)
    text = answer.body.decode("utf-8", "replace")
    for regex in keys.body_matches:
        if not regex.found_in(text):
            raise _by_regex(run, f"the body has nothing that matches {regex}")
    for regex in keys.body_lacks:
        if regex.found_in(text):
            raise _by_regex(run, f"the body has what matches {regex}")
    if keys.json_:
        document = _parse(text)
        for expected in keys.json_:
            _judge_json(expected, document, run)


def _judge_headers(keys: HttpKeys, answer: Answer, run: Run) -> None:
    for name, regex in keys.headers_match.items():
        values = [value for known, value in answer.headers if known.lower() == name.lower()]
        if not any(regex.found_in(value) for value in values):
            raise _by_regex(run, f"no header {name} matches {regex}")
    for name, regex in keys.headers_lack.items():
        if any(known.lower() == name.lower() and regex.found_in(value) for known, value in answer.headers):
            raise _by_regex(run, f"a header {name} matches {regex}")


def _by_regex(run: Run, text: str) -> Failed:
    run.measure("probe_failed_due_to_regex", 1)
    return Failed("assertion", text)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Failed("assertion", "the body is not JSON") from None


def _judge_json(expected: JsonExpectation, document: Any, run: Run) -> None:
    found = pick(document, expected.path)
    if isinstance(found, Missing):
        raise Failed("assertion", f"the body has no {expected.path}: {found.text}")
    if expected.matches is not None:
        if not expected.matches.found_in(found if isinstance(found, str) else json.dumps(found)):
            raise Failed("assertion", f"{expected.path} does not match {expected.matches}")
    elif not _same(found, expected.equals):
        told = run.redact(json.dumps(found))[:80]
        raise Failed("assertion", f"{expected.path} is {told}, and not {json.dumps(expected.equals)}")


class Missing:
    """What stands for a value that is not there."""

    def __init__(self, text: str) -> None:
        self.text = text


def pick(document: Any, path: str) -> Any:
    """Give the value at a path of keys and positions (`database.replicas.0.up`), or `Missing`."""
    for written in _DOTS.split(path):
        step = written.replace("\\.", ".")
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and _POSITION.fullmatch(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return Missing(f"nothing is at {step}")
    return document


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, bool) != isinstance(expected, bool):
        return False  # to Python, 1 is True
    if isinstance(found, float) and math.isnan(found):
        return False
    return bool(found == expected)
