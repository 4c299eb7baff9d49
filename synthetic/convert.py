"""blackbox_exporter's configuration, as modules of probe files.

Contract: CONFIGURATION.md of prometheus/blackbox_exporter (its modules of the probers http, tcp, dns, icmp and grpc).
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from relay.config.matchers import compile_regex
from synthetic.checks import ProbeFile
from synthetic.go_text import expand, literal, read_duration, read_size, write_duration
from synthetic.kinds import MOST_BODY, MOST_TIMEOUT

_NO_TIMEOUT = 120.0
"""Seconds that blackbox_exporter waits when neither the module nor Prometheus says how long."""
_CODINGS = ("gzip", "deflate", "identity")


class _Part:
    """A mapping of the file. Keys are taken out of it; what is left in the end has no counterpart."""

    def __init__(self, way: str, written: Any, left: list[str]) -> None:
        self._way, self._left = way, left
        """How to name a key of it: `http_2xx: http.` comes before."""
        if written and not isinstance(written, Mapping):
            left.append(f"{way.rstrip('.: ')} is no mapping: left out")
        self._keys = {str(key): value for key, value in written.items()} if isinstance(written, Mapping) else {}

    def take(self, key: str, otherwise: Any = None) -> Any:
        """The value of a key."""
        found = self._keys.pop(key, None)
        return otherwise if found is None else found

    def part(self, key: str) -> "_Part":
        """A mapping inside of this one, which may be empty."""
        return _Part(f"{self._way}{key}.", self.take(key), self._left)

    def parts(self, key: str) -> list["_Part"]:
        """A list of mappings."""
        return [_Part(f"{self._way}{key}.{i}.", one, self._left) for i, one in enumerate(self._list(key))]

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        return [str(one) for one in self._list(key)]

    def texts_by_name(self, key: str) -> dict[str, str]:
        """A mapping of texts."""
        return {name: str(value) for name, value in self.part(key)._keys.items()}

    def copy(self, pairs: Mapping[str, str]) -> dict[str, Any]:
        """What is written in the same way under other names."""
        found = {ours: self.take(key) for key, ours in pairs.items()}
        return {ours: value for ours, value in found.items() if value is not None}

    def note(self, key: str, why: str = "has no counterpart", done: str = "left out") -> None:
        """Say that something could not be written as it is."""
        self._left.append(f"{self._way}{key} {why}: {done}")

    def end(self) -> None:
        """Say what was not taken; what is switched off is no loss."""
        for key, value in self._keys.items():
            if value:
                self.note(key)

    def _list(self, key: str) -> list[Any]:
        found = self.take(key, [])
        if isinstance(found, list):
            return found
        self.note(key, "is no list")
        return []


def convert_file(path: Path) -> tuple[str, list[str]]:
    """Give a probe file's text, and what could not be written."""
    left: list[str] = []
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeError) as error:
        return "", [f"{path} cannot be read as YAML: {str(error).splitlines()[0]}"]
    listed = document.get("modules") if isinstance(document, dict) else None
    if not isinstance(listed, dict):
        return "", [f'{path} has no "modules": is it a configuration of blackbox_exporter?']
    modules = {}
    for name, module in listed.items():
        if converted := _module(_Part(f"{name}: ", module, left)):
            modules[str(name)] = converted
    for name in list(modules):
        try:
            ProbeFile.model_validate({"modules": {name: modules[name]}})
        except ValidationError as wrong:
            first = wrong.errors()[0]
            way = ".".join(map(str, first["loc"][3:]))  # after modules, the name and the kind
            left.append(f"{name}: {way}{': ' if way else ''}{first['msg'].removeprefix('Value error, ')}: left out")
            del modules[name]
    return yaml.safe_dump({"modules": modules}, sort_keys=False, allow_unicode=True), left


def _module(module: _Part) -> dict[str, Any] | None:
    kind = str(module.take("prober"))
    if kind not in _PROBERS:
        module.note(f"a prober {kind}")
        return None
    own = module.part(kind)
    converted = {"kind": kind, "timeout": _timeout(module), **_protocol(own), **_PROBERS[kind](own)}
    own.end()
    return converted


def _timeout(module: _Part) -> str:
    written = module.take("timeout", "0s")
    seconds = read_duration(written)
    if seconds is None:
        module.note(f"timeout {written}", "is no duration")
    most = MOST_TIMEOUT.total_seconds()
    if seconds and seconds > most:
        module.note(f"timeout {written}", "is longer than may be", f"written as {write_duration(most)}")
    return write_duration(min(seconds or _NO_TIMEOUT, most))


def _protocol(own: _Part) -> dict[str, Any]:
    preferred, falls_back = own.take("preferred_ip_protocol", "ip6"), own.take("ip_protocol_fallback", True)
    if preferred == "ip4" and falls_back:
        own.note("ip_protocol_fallback", "to ip6 has no counterpart", "written as ip4 alone")
    if preferred == "ip4":
        return {"ip_protocol": "ip4"}
    return {} if falls_back else {"ip_protocol": "ip6"}


# ---- http -------------------------------------------------------------------------------------------------------


def _http(own: _Part) -> dict[str, Any]:
    converted = own.copy({"method": "method", "bearer_token_file": "bearer_token_file"})
    converted |= _filled(
        {
            "headers": own.texts_by_name("headers"),
            "body": str(own.take("body", "")),
            "proxy": str(own.take("proxy_url", "")).removesuffix("/"),
            "body_lacks": _within_lines(own.texts("fail_if_body_matches_regexp")),
            "body_matches": _within_lines(own.texts("fail_if_body_not_matches_regexp")),
            "status": own.texts("valid_status_codes"),
        }
    )
    if own.take("follow_redirects", True) is False or own.take("no_follow_redirects", False):
        converted["redirects"] = 0
    if own.take("fail_if_ssl", False):
        converted["encrypted"] = False
    if own.take("fail_if_not_ssl", False):
        converted["encrypted"] = True
    _size(own, converted)
    _versions(own, converted)
    _credentials(own, converted)
    _headers(own, converted)
    tls = _tls(own)
    named = next((value for name, value in converted.get("headers", {}).items() if name.lower() == "host"), "")
    if named and ":" not in named:
        tls.setdefault("server_name", named)
    return converted | _filled({"tls": tls})


def _within_lines(regexes: Iterable[str]) -> list[str]:
    """To Go, a dot meets no line break; to us, as to Prometheus, it does."""
    return [f"(?-s:{regex})" if "." in regex else regex for regex in regexes]


def _size(own: _Part, converted: dict[str, Any]) -> None:
    """Without a limit of its own, blackbox_exporter reads all of a body."""
    written = own.take("body_size_limit", 0)
    size = read_size(written)
    if size is None:
        own.note("body_size_limit", "is no size")
    elif size > MOST_BODY:
        own.note("body_size_limit", "is more than may be read", "written as 64 MiB")
    converted["max_body_bytes"] = min(size or MOST_BODY, MOST_BODY)


def _versions(own: _Part, converted: dict[str, Any]) -> None:
    """We speak HTTP/1.1, and ask for no coding of our own accord."""
    own.take("enable_http2")
    versions = own.texts("valid_http_versions")
    if versions and "HTTP/1.1" not in versions:
        own.note("valid_http_versions")
    coding = own.take("compression", "")
    if coding in _CODINGS:
        headers = converted.setdefault("headers", {})
        if "accept-encoding" not in {name.lower() for name in headers}:
            headers["Accept-Encoding"] = coding
    elif coding:
        own.note("compression")


def _credentials(own: _Part, converted: dict[str, Any]) -> None:
    basic, authorization = own.part("basic_auth"), own.part("authorization")
    username, file = str(basic.take("username", "")), basic.take("password_file")
    written = basic.take("password")
    if file:
        converted["basic_auth"] = {"username": username, "password_file": file}
    elif username or written:
        own.note("basic_auth", "has its password in the file, and needs a password_file")
    kind, file = str(authorization.take("type", "Bearer")), authorization.take("credentials_file")
    written = authorization.take("credentials")
    if file and kind.lower() == "bearer":
        converted["bearer_token_file"] = file
    elif file or written:
        own.note("authorization", "needs a credentials_file, and the type Bearer")
    basic.end()
    authorization.end()


def _headers(own: _Part, converted: dict[str, Any]) -> None:
    """To blackbox_exporter, a header that is missing is a failure, unless it says otherwise."""
    lack, match, there = dict[str, list[str]](), dict[str, str](), dict[str, str]()
    for one in own.parts("fail_if_header_matches"):
        name, regex = str(one.take("header", "")).title(), str(one.take("regexp", ""))
        if not one.take("allow_missing", False):
            there[name] = ".*"
        lack.setdefault(name, []).append(regex)
        one.end()
    for one in own.parts("fail_if_header_not_matches"):
        name, regex = str(one.take("header", "")).title(), str(one.take("regexp", ""))
        if one.take("allow_missing", False):
            one.note("allow_missing", done="written as a header that has to be there")
        if name in match:
            one.note("header", f"{name} has an expression already")
        match.setdefault(name, regex)
        one.end()
    converted |= _filled({"headers_lack": {name: _either(regexes) for name, regexes in lack.items()}})
    converted |= _filled({"headers_match": there | match})


def _either(regexes: Iterable[str]) -> str:
    listed = list(regexes)
    return listed[0] if len(listed) == 1 else "|".join(f"(?:{regex})" for regex in listed)


# ---- the others -------------------------------------------------------------------------------------------------


def _tls(own: _Part) -> dict[str, Any]:
    written = own.part("tls_config")
    tls = written.copy({key: key for key in ("ca_file", "cert_file", "key_file", "server_name")})
    if written.take("insecure_skip_verify", False):
        tls["verify"] = False
    written.end()
    return tls


def _tcp(own: _Part) -> dict[str, Any]:
    steps = [step for one in own.parts("query_response") for step in _steps(one)]
    tls, encrypted = _tls(own), own.take("tls", False)
    # blackbox_exporter limits how long a line is, not how much is said
    held = {"conversation": steps, "max_bytes": MOST_BODY} if steps else {}
    return held | ({"tls": tls} if encrypted or {"starttls": True} in steps else {})


def _steps(one: _Part) -> list[dict[str, Any]]:
    """One entry may be three steps; groups may be named in what is sent, where something is expected before."""
    expect, send, labels = str(one.take("expect", "")), str(one.take("send", "")), one.parts("labels")
    write: Callable[[str], str] = literal
    steps: list[dict[str, Any]] = []
    if expect:
        with suppress(ValueError):  # the whole module is refused for it later
            write = partial(expand, expression=compile_regex(expect))
        named = {str(label.take("name")): write(str(label.take("value", ""))) for label in labels}
        steps.append({"expect": expect, **_filled({"labels": named})})
    if send:
        steps.append({"send": write(send)})
    if one.take("starttls", False):
        steps.append({"starttls": True})
    one.end()
    return steps


def _dns(own: _Part) -> dict[str, Any]:
    converted = {"type": "ANY"} | own.copy(
        {
            "query_name": "query",
            "query_type": "type",
            "transport_protocol": "transport",
            "recursion_desired": "recursion",
        }
    )
    if own.take("query_class", "IN") != "IN":
        own.note("query_class")
    answers = own.part("validate_answer_rrs")
    any_of = answers.texts("fail_if_none_matches_regexp")
    converted |= _filled(
        {
            "rcodes": own.texts("valid_rcodes"),
            "answers_match": [_either(any_of)] if any_of else [],
            "answers_all_match": answers.texts("fail_if_not_matches_regexp"),
            "answers_lack": answers.texts("fail_if_matches_regexp"),
        }
    )
    answers.end()
    return converted


def _icmp(own: _Part) -> dict[str, Any]:
    return _filled({"payload_bytes": own.take("payload_size", 0)})


def _grpc(own: _Part) -> dict[str, Any]:
    tls, encrypted = _tls(own), own.take("tls", False)
    return _filled({"health_of": str(own.take("service", ""))}) | ({"tls": tls} if encrypted else {})


def _filled(converted: Mapping[str, Any]) -> dict[str, Any]:
    """What says something."""
    return {key: value for key, value in converted.items() if value}


_PROBERS: Mapping[str, Callable[[_Part], dict[str, Any]]] = {
    "http": _http,
    "tcp": _tcp,
    "dns": _dns,
    "icmp": _icmp,
    "grpc": _grpc,
}
