"""blackbox_exporter's configuration, as modules of probe files.

Contract: CONFIGURATION.md of prometheus/blackbox_exporter (its modules of the probers http, tcp, dns, icmp and grpc).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from synthetic.checks import ProbeFile

_PROTOCOLS = {"ip4": "ip4", "ip6": "ip6"}


class _Left(list[str]):
    """What has no counterpart, by module."""

    def note(self, module: str, key: str, why: str = "has no counterpart") -> None:
        self.append(f"{module}: {key} {why}: left out")


def convert_file(path: Path) -> tuple[str, list[str]]:
    """Give a probe file's text, and what could not be written."""
    left = _Left()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeError) as error:
        return "", [f"{path} cannot be read as YAML: {str(error).splitlines()[0]}"]
    listed = document.get("modules") if isinstance(document, dict) else None
    if not isinstance(listed, dict):
        return "", [f'{path} has no "modules": is it a configuration of blackbox_exporter?']
    modules = {}
    for name, module in listed.items():
        if converted := _module(str(name), module if isinstance(module, dict) else {}, left):
            modules[str(name)] = converted
    for name in list(modules):
        try:
            ProbeFile.model_validate({"modules": {name: modules[name]}})
        except ValidationError as wrong:
            left.append(f"{name}: {wrong.errors()[0]['msg']}: left out")
            del modules[name]
    return yaml.safe_dump({"modules": modules}, sort_keys=False, allow_unicode=True), left


def _module(name: str, module: Mapping[str, Any], left: _Left) -> dict[str, Any] | None:
    kind = module.get("prober")
    converters = {"http": _http, "tcp": _tcp, "dns": _dns, "icmp": _icmp, "grpc": _grpc}
    if kind not in converters:
        left.append(f"{name}: a prober {kind}: left out")
        return None
    found = dict(module.get(kind) or {})
    converted: dict[str, Any] = {"kind": kind}
    if timeout := module.get("timeout"):
        converted["timeout"] = timeout
    preferred = found.pop("preferred_ip_protocol", None)
    if found.pop("ip_protocol_fallback", True) is False:
        converted["ip_protocol"] = _PROTOCOLS.get(str(preferred), "ip6")
    converted |= converters[kind](name, found, left)
    for key in found:
        left.note(name, f"{kind}.{key}")
    return converted


def _take(found: dict[str, Any], pairs: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, ours in pairs.items():
        if key in found:
            yield ours, found.pop(key)


def _http(name: str, found: dict[str, Any], left: _Left) -> dict[str, Any]:
    converted = dict(
        _take(
            found,
            {
                "method": "method",
                "headers": "headers",
                "body": "body",
                "proxy_url": "proxy",
                "fail_if_body_matches_regexp": "body_lacks",
                "fail_if_body_not_matches_regexp": "body_matches",
                "bearer_token_file": "bearer_token_file",
            },
        )
    )
    if statuses := found.pop("valid_status_codes", None):
        converted["status"] = [str(status) for status in statuses]
    if found.pop("follow_redirects", True) is False or found.pop("no_follow_redirects", False):
        converted["redirects"] = 0
    if found.pop("fail_if_ssl", False):
        converted["encrypted"] = False
    if found.pop("fail_if_not_ssl", False):
        converted["encrypted"] = True
    _credentials(name, found, converted, left)
    _headers(name, found, converted, left)
    _tls(name, found, converted, left)
    return converted


def _credentials(name: str, found: dict[str, Any], converted: dict[str, Any], left: _Left) -> None:
    basic = found.pop("basic_auth", None)
    if basic and basic.get("password_file"):
        converted["basic_auth"] = {"username": basic.get("username", ""), "password_file": basic["password_file"]}
    elif basic:
        left.note(name, "http.basic_auth", "has its password in the file, and needs a password_file")
    authorization = found.pop("authorization", None)
    if authorization and authorization.get("credentials_file") and authorization.get("type", "Bearer") == "Bearer":
        converted["bearer_token_file"] = authorization["credentials_file"]
    elif authorization:
        left.note(name, "http.authorization", "needs a credentials_file, and the type Bearer")


def _headers(name: str, found: dict[str, Any], converted: dict[str, Any], left: _Left) -> None:
    for key, ours in (("fail_if_header_matches", "headers_lack"), ("fail_if_header_not_matches", "headers_match")):
        for one in found.pop(key, None) or ():
            converted.setdefault(ours, {})[one["header"]] = one["regexp"]
            if one.get("allow_missing"):
                left.note(name, f"http.{key}.allow_missing")


def _tls(name: str, found: dict[str, Any], converted: dict[str, Any], left: _Left) -> None:
    written = found.pop("tls_config", None) or {}
    files = ("ca_file", "cert_file", "key_file", "server_name")
    tls: dict[str, Any] = dict(_take(written, {key: key for key in files}))
    if written.pop("insecure_skip_verify", False):
        tls["verify"] = False
    for key in written:
        left.note(name, f"tls_config.{key}")
    if tls:
        converted["tls"] = tls


def _tcp(name: str, found: dict[str, Any], left: _Left) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    steps = []
    for one in found.pop("query_response", None) or ():
        if "expect" in one:
            steps.append({"expect": one["expect"]})
        if "send" in one:
            steps.append({"send": one["send"]})
        if one.get("starttls"):
            steps.append({"starttls": True})
        for key in one.keys() - {"expect", "send", "starttls"}:
            left.note(name, f"tcp.query_response.{key}")
    if steps:
        converted["conversation"] = steps
    encrypted = found.pop("tls", False)
    _tls(name, found, converted, left)
    if encrypted:
        converted.setdefault("tls", {})
    return converted


def _dns(name: str, found: dict[str, Any], left: _Left) -> dict[str, Any]:
    names = {"query_name": "query", "query_type": "type"}
    pairs = {**names, "transport_protocol": "transport", "recursion_desired": "recursion"}
    converted = dict(_take(found, pairs))
    if codes := found.pop("valid_rcodes", None):
        converted["rcodes"] = codes
    answers = found.pop("validate_answer_rrs", None) or {}
    if matches := answers.pop("fail_if_none_matches_regexp", None) or answers.pop("fail_if_not_matches_regexp", None):
        converted["answers_match"] = matches
    for key in answers:
        left.note(name, f"dns.validate_answer_rrs.{key}")
    return converted


def _icmp(name: str, found: dict[str, Any], left: _Left) -> dict[str, Any]:
    return {"payload_bytes": found.pop("payload_size")} if "payload_size" in found else {}


def _grpc(name: str, found: dict[str, Any], left: _Left) -> dict[str, Any]:
    converted = dict(_take(found, {"service": "health_of"}))
    encrypted = found.pop("tls", False)
    _tls(name, found, converted, left)
    if not encrypted:
        converted.pop("tls", None)
    elif "tls" not in converted:
        converted["tls"] = {}
    return converted
