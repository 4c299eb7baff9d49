"""blackbox_exporter's configuration becomes modules that do the same, and what cannot is said."""

import asyncio
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
import yaml
from places import answering, certificate, listening, ok
from test_other_probes import SOA, A, irc, name_server
from test_worker import working

from relay.demo.processes import free_port
from relay.demo.programs import need
from synthetic.checks import ProbeFile
from synthetic.convert import convert_file
from synthetic.go_text import read_duration, read_size, write_duration
from synthetic.kinds import MOST_BODY


def convert(tmp_path, prober, keys=None, **more):
    """One module as it is written, without what goes without saying, and what is said about it."""
    file = tmp_path / "blackbox.yml"
    file.write_text(yaml.safe_dump({"modules": {"m": {"prober": prober, prober: keys or {}, **more}}}))
    text, left = convert_file(file)
    modules = yaml.safe_load(text)["modules"]
    ProbeFile.model_validate({"modules": modules})
    plain = {"kind": prober, "timeout": "120s"} | {
        "http": {"max_body_bytes": MOST_BODY},
        "tcp": {"max_bytes": MOST_BODY},
    }.get(prober, {})
    found = modules.get("m")
    return found and {key: value for key, value in found.items() if plain.get(key) != value}, left


QUERY = {"query_name": "a.example"}


@pytest.mark.parametrize(
    ("prober", "keys", "ours"),
    [
        ("http", {"proxy_url": "http://p:3128/"}, {"proxy": "http://p:3128"}),
        ("http", {"enable_http2": False, "valid_http_versions": ["HTTP/1.1"], "use_proxy_dns": False}, {}),
        ("http", {"body_size_limit": "10MB"}, {"max_body_bytes": 10 * 1024 * 1024}),
        ("http", {"body_size_limit": 0}, {}),
        ("http", {"compression": "gzip"}, {"headers": {"Accept-Encoding": "gzip"}}),
        ("http", {"headers": {"X-Number": 1}}, {"headers": {"X-Number": "1"}}),
        ("http", {"headers": {"host": "shop"}}, {"headers": {"host": "shop"}, "tls": {"server_name": "shop"}}),
        ("http", {"fail_if_body_matches_regexp": ["a.*b", "c"]}, {"body_lacks": ["(?-s:a.*b)", "c"]}),
        (
            "http",
            {"fail_if_header_matches": [{"header": "x-a", "regexp": "b", "allow_missing": True}]},
            {"headers_lack": {"X-A": "b"}},
        ),
        (
            "http",
            {"fail_if_header_matches": [{"header": "X-A", "regexp": "b"}, {"header": "x-a", "regexp": "c"}]},
            {"headers_lack": {"X-A": "(?:b)|(?:c)"}, "headers_match": {"X-A": ".*"}},
        ),
        ("http", {"ip_protocol_fallback": False}, {"ip_protocol": "ip6"}),
        ("tcp", {"tls": False, "tls_config": {"insecure_skip_verify": True}}, {}),
        ("tcp", {"tls": True, "tls_config": {"insecure_skip_verify": True}}, {"tls": {"verify": False}}),
        (
            "tcp",
            {"query_response": [{"starttls": True}], "tls_config": {"server_name": "a"}},
            {"conversation": [{"starttls": True}], "tls": {"server_name": "a"}},
        ),
        (
            "tcp",
            {"query_response": [{"send": "NICK $1"}, {"expect": "PING (.+)", "send": "PONG ${1} $2 $$ 5$"}]},
            {"conversation": [{"send": "NICK $$1"}, {"expect": "PING (.+)"}, {"send": "PONG ${1}  $$ 5$$"}]},
        ),
        (
            "tcp",
            {"query_response": [{"expect": "SSH-(?P<v>.+)", "labels": [{"name": "version", "value": "$v"}]}]},
            {"conversation": [{"expect": "SSH-(?P<v>.+)", "labels": {"version": "${v}"}}]},
        ),
        ("dns", QUERY, {"type": "ANY", "query": "a.example"}),
        (
            "dns",
            {**QUERY, "query_type": "A", "validate_answer_rrs": {"fail_if_none_matches_regexp": ["a", "b"]}},
            {"type": "A", "query": "a.example", "answers_match": ["(?:a)|(?:b)"]},
        ),
        (
            "dns",
            {
                **QUERY,
                "query_type": "A",
                "validate_answer_rrs": {"fail_if_not_matches_regexp": ["a"], "fail_if_matches_regexp": ["b"]},
            },
            {"type": "A", "query": "a.example", "answers_all_match": ["a"], "answers_lack": ["b"]},
        ),
        ("grpc", {"tls": False, "tls_config": {"insecure_skip_verify": True}}, {}),
    ],
)
def test_what_has_a_counterpart_is_written(tmp_path, prober, keys, ours):
    assert convert(tmp_path, prober, keys) == (ours, [])


@pytest.mark.parametrize(("written", "ours"), [("1.5s", "1500ms"), ("0.5s", "500ms"), ("1m30s", "90s"), ("0s", None)])
def test_a_timeout_may_be_one_of_gos(tmp_path, written, ours):
    assert convert(tmp_path, "icmp", timeout=written) == ({"timeout": ours} if ours else {}, [])


@pytest.mark.parametrize(
    ("prober", "keys", "ours", "said"),
    [
        ("http", "x", {}, "m: http is no mapping: left out"),
        ("http", {"valid_status_codes": 200}, {}, "m: http.valid_status_codes is no list: left out"),
        ("http", {"tls_config": "x"}, {}, "m: http.tls_config is no mapping: left out"),
        ("http", {"tls_config": {"min_version": "TLS13"}}, {}, "m: http.tls_config.min_version has no counterpart"),
        ("http", {"basic_auth": "x"}, {}, "m: http.basic_auth is no mapping: left out"),
        ("http", {"basic_auth": {"username": "a", "password": "b"}}, {}, "m: http.basic_auth has its password in"),
        ("http", {"authorization": {"credentials": "b"}}, {}, "m: http.authorization needs a credentials_file"),
        ("http", {"body_size_limit": "1GB"}, {}, "m: http.body_size_limit is more than may be read: written as 64 MiB"),
        ("http", {"valid_http_versions": ["HTTP/2.0"]}, {}, "m: http.valid_http_versions has no counterpart"),
        (
            "http",
            {"fail_if_header_not_matches": [{"header": "A", "regexp": "b"}, {"header": "A", "regexp": "c"}]},
            {"headers_match": {"A": "b"}},
            "m: http.fail_if_header_not_matches.1.header A has an expression already: left out",
        ),
        (
            "http",
            {"fail_if_header_not_matches": [{"header": "A", "regexp": "b", "allow_missing": True}]},
            {"headers_match": {"A": "b"}},
            "m: http.fail_if_header_not_matches.0.allow_missing has no counterpart: written as a header that has",
        ),
        (
            "http",
            {"fail_if_header_matches": [{"regexp": "b"}]},
            None,
            "m: headers_match..[key]: String should match pattern",
        ),
        (
            "http",
            {"preferred_ip_protocol": "ip4"},
            {"ip_protocol": "ip4"},
            "m: http.ip_protocol_fallback to ip6 has no counterpart: written as ip4 alone",
        ),
        ("tcp", {"query_response": "x"}, {}, "m: tcp.query_response is no list: left out"),
        ("tcp", {"query_response": ["x"]}, {}, "m: tcp.query_response.0 is no mapping: left out"),
        ("tcp", {"query_response": [{"expect": "("}]}, None, "m: conversation.0.expect: write a regular expression"),
        (
            "dns",
            {**QUERY, "validate_answer_rrs": {"fail_if_all_match_regexp": ["a"]}},
            {"type": "ANY", "query": "a.example"},
            "m: dns.validate_answer_rrs.fail_if_all_match_regexp has no counterpart",
        ),
        ("dns", {}, None, "m: query: Field required"),
    ],
)
def test_what_has_none_is_said(tmp_path, prober, keys, ours, said):
    found, left = convert(tmp_path, prober, keys)
    assert (found, [line.startswith(said) for line in left]) == (ours, [True]), left


@pytest.mark.parametrize("module", ["x", {"prober": ["http"]}, {"prober": None}, None, {"prober": "dns", "dns": [1]}])
def test_odd_files_are_read(tmp_path, module):
    (tmp_path / "blackbox.yml").write_text(yaml.safe_dump({"modules": {1: module}}))
    text, left = convert_file(tmp_path / "blackbox.yml")
    assert (yaml.safe_load(text), bool(left)) == ({"modules": {}}, True)


def test_what_go_reads_is_read():
    assert [read_duration(text) for text in ("1h1.5m", "10ms", "-1s", "5", "", "s", "0")] == [
        3690.0, 0.01, None, None, None, None, 0.0,
    ]  # fmt: skip
    assert write_duration(0.0015) == "2ms"
    assert [read_size(text) for text in (7, "1KB", "1.5KiB", "2GiB", "x")] == [7, 1024, 1536, 2**31, None]


# ---- beside the real one ----------------------------------------------------------------------------------------

REAL = r"""
modules:
  plain: {prober: http, http: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}}
  well: {prober: http, timeout: 1.5s, http: {preferred_ip_protocol: ip4, fail_if_body_not_matches_regexp: ["w.*l"]}}
  lines: {prober: http, http: {preferred_ip_protocol: ip4, fail_if_body_matches_regexp: ["all.*well"]}}
  header:
    prober: http
    http:
      preferred_ip_protocol: ip4
      fail_if_header_matches: [{header: X-A, regexp: bad}, {header: x-a, regexp: worse}]
  encrypted: {prober: http, http: {preferred_ip_protocol: ip4, fail_if_not_ssl: true}}
  unverified: {prober: http, http: {preferred_ip_protocol: ip4, tls_config: {insecure_skip_verify: true}}}
  verified: {prober: tcp, tcp: {preferred_ip_protocol: ip4, tls: true}}
  tcp: {prober: tcp, tcp: {preferred_ip_protocol: ip4, tls: false, tls_config: {insecure_skip_verify: true}}}
  irc:
    prober: tcp
    timeout: 2s
    tcp:
      preferred_ip_protocol: ip4
      query_response: [{expect: "^PING (.+)", send: "PONG ${1} $$1"}, {expect: "^:[^ ]+ 001"}]
  ping: {prober: icmp, icmp: {preferred_ip_protocol: ip4}}
  any: {prober: dns, dns: {preferred_ip_protocol: ip4, query_name: shop.example}}
  whole:
    prober: dns
    dns:
      preferred_ip_protocol: ip4
      query_name: shop.example
      query_type: A
      validate_answer_rrs:
        fail_if_not_matches_regexp: ["^shop.example.\\t60\\tIN\\tA\\t192.0.2.[78]$"]
        fail_if_none_matches_regexp: ["nothing", "192.0.2.7"]
  every:
    prober: dns
    dns:
      preferred_ip_protocol: ip4
      query_name: shop.example
      query_type: A
      validate_answer_rrs: {fail_if_not_matches_regexp: ["192.0.2.7"]}
  lacking:
    prober: dns
    dns:
      preferred_ip_protocol: ip4
      query_name: shop.example
      query_type: SOA
      transport_protocol: udp
      validate_answer_rrs: {fail_if_matches_regexp: ["192.0.2.8"]}
"""


async def series(client, address, module, target):
    """Name and labels, those of a certificate and a cipher left out, to value."""
    async with client.get(f"{address}/probe", params={"module": module, "target": target}) as answer:
        assert answer.status == 200, await answer.text()
        lines = (await answer.text()).splitlines()
    found = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.partition("{")[0] if "_info{" in name else name: float(value) for name, _, value in found}


@asynccontextmanager
async def blackbox(file, client):
    """The real exporter; gives its address."""
    program, port = need(["prometheus-blackbox-exporter"], print)["prometheus-blackbox-exporter"], free_port()
    command = [str(program), f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with client.get(f"http://127.0.0.1:{port}/-/healthy"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def targets(directory):
    """Name to what can be probed."""
    context, _ = certificate(directory, "localhost")
    async with AsyncExitStack() as stack:

        async def page(*headers, **more):
            return await stack.enter_async_context(listening(answering(ok(b"all\nis well", *headers, **more))))

        ports = {
            "worse": await page("X-A: worse"),
            "bare": await page(),
            "fine": await page("X-A: fine"),
            "gone": await page(status="404 Not Found"),
            "chat": await stack.enter_async_context(listening(irc)),
            "closed": free_port(),
        }
        _, names = await stack.enter_async_context(name_server(records=[A]))
        _, zone = await stack.enter_async_context(name_server(records=[A, SOA]))
        there = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        secure = await stack.enter_async_context(listening(answering(ok()), context))
        there |= {"https": f"https://127.0.0.1:{secure}", "tls": f"127.0.0.1:{secure}"}
        yield {**there, "names": names, "zone": zone, "here": "127.0.0.1", "nowhere": "nowhere.invalid"}


CASES = {
    "plain": {"worse": 1, "gone": 0, "closed": 0, "nowhere": 0},
    "well": {"bare": 1},
    "lines": {"bare": 1},
    "header": {"worse": 0, "bare": 0, "fine": 1},
    "encrypted": {"bare": 0},
    "unverified": {"https": 1, "bare": 1},
    "verified": {"tls": 0},
    "tcp": {"bare": 1, "closed": 0},
    "irc": {"chat": 1},
    "ping": {"here": 1, "nowhere": 0},
    "any": {"names": 1, "closed": 0},
    "whole": {"names": 1},
    "every": {"names": 0},
    "lacking": {"zone": 0},
}
"""Module to target to whether it is a success."""
SAME = (
    "probe_http_status_code", "probe_http_version", "probe_http_ssl", "probe_http_redirects",
    "probe_http_content_length", "probe_failed_due_to_regex", "probe_dns_answer_rrs", "probe_dns_serial",
    "probe_icmp_reply_hop_limit", "probe_ip_protocol", "probe_ssl_earliest_cert_expiry", "probe_tls_version_info",
)  # fmt: skip


@pytest.mark.servers
async def test_a_converted_module_does_what_it_did(tmp_path):
    (tmp_path / "blackbox.yml").write_text(REAL)
    (tmp_path / "rules").mkdir()
    text, left = convert_file(tmp_path / "blackbox.yml")
    assert all("written as ip4 alone" in line for line in left)
    async with (
        targets(tmp_path) as there,
        working(tmp_path / "rules", text) as (_, client, url),
        blackbox(tmp_path / "blackbox.yml", client) as real,
    ):
        for module, name, well in ((module, name, well) for module, of in CASES.items() for name, well in of.items()):
            told = await series(client, real, module, there[name])
            ours = await series(client, url, module, there[name])
            assert (told["probe_success"], ours["probe_success"]) == (well, well), (module, name)
            assert sorted(told.keys() - ours.keys()) == [], (module, name)
            differ = {metric for metric in SAME if metric in told and told[metric] != ours[metric]}
            assert (module, name, differ) == (module, name, set())
