"""The probe `http`, against real sockets that do what servers do on bad days."""

import asyncio
import gzip
from datetime import timedelta

import pytest
from places import AUTHORITY, answering, certificate, chain, dripping, listening, ok, silent
from pydantic import ValidationError

from relay.clock import WallClock
from relay.demo.processes import free_port
from synthetic.execute import execute
from synthetic.kinds import HttpKeys
from synthetic.run import REASONS


def keys(**more):
    return HttpKeys.model_validate({"kind": "http", "timeout": "2s", **more})


async def run(port, path="/", scheme="http", host="127.0.0.1", **more):
    result = await execute(keys(**more), f"{scheme}://{host}:{port}{path}", WallClock())
    assert result.reason in ("", *REASONS)
    return result


async def judged(answer, **more):
    """Reason and text of what came of an answer."""
    async with listening(answering(answer)) as port:
        result = await run(port, **more)
        return result.reason, result.text


def sample(result, name, labels=""):
    return result.samples[name, labels]


async def test_an_answer_is_measured_by_the_names_of_blackbox_exporter():
    async with listening(answering(ok(b"hello", "Last-Modified: Wed, 07 Jan 2026 12:00:00 GMT"))) as port:
        result = await run(port)
    assert result.success
    assert sample(result, "probe_success") == 1
    assert sample(result, "probe_http_status_code") == 200
    assert sample(result, "probe_http_content_length") == 5
    assert sample(result, "probe_http_uncompressed_body_length") == 5
    assert sample(result, "probe_http_version") == 1.1
    assert sample(result, "probe_http_ssl") == sample(result, "probe_http_redirects") == 0
    assert sample(result, "probe_http_last_modified_timestamp_seconds") == 1767787200
    assert sample(result, "probe_ip_protocol") == 4
    phases = [
        sample(result, "probe_http_duration_seconds", f'phase="{phase}"')
        for phase in ("resolve", "connect", "tls", "processing", "transfer")
    ]
    assert sum(phases) <= sample(result, "probe_duration_seconds") == result.seconds
    assert min(phases[1], phases[3]) > 0 == phases[2]


PLACE = "it leads to a place that cannot be followed: "
BOMB = ok(gzip.compress(b"x" * 10**6, mtime=0), "Content-Encoding: gzip")
NOT_HTTP = "what is answered is not HTTP/1.1: "
CUT = "the connection was closed before the answer was whole"
REFUSED = [
    (ok(status="500 No"), {}, "http_status", "answers 500, and not 2xx"),
    (ok(status="404 No"), {"status": ["2xx", "301"]}, "http_status", "answers 404, and not 2xx or 301"),
    (ok(b"all is lost"), {"body_matches": ["well"]}, "assertion", "the body has nothing that matches well"),
    (ok(b"all is lost"), {"body_lacks": ["l.st"]}, "assertion", "the body has what matches l.st"),
    (ok(b"", "X-A: b"), {"headers_match": {"x-a": "^c"}}, "assertion", "no header x-a matches ^c"),
    (ok(b"", "X-A: b"), {"headers_lack": {"X-A": "b"}}, "assertion", "a header X-A matches b"),
    (ok(b"{}"), {"json": [{"path": "a.0", "equals": 1}]}, "assertion", "the body has no a.0: nothing is at a"),
    (ok(b'{"a":[2]}'), {"json": [{"path": "a.\u00b2", "equals": 1}]}, "assertion", "the body has no a.\u00b2"),
    (ok(b'{"a":[2]}'), {"json": [{"path": "a.0", "equals": 1}]}, "assertion", "a.0 is 2, and not 1"),
    (ok(b'{"a":true}'), {"json": [{"path": "a", "equals": 1}]}, "assertion", "a is true, and not 1"),
    (ok(b'{"a":"xy"}'), {"json": [{"path": "a", "matches": "^y"}]}, "assertion", "a does not match ^y"),
    (ok(b"[" * 100_000), {"json": [{"path": "a", "equals": 1}]}, "assertion", "the body is not JSON"),
    (ok(b"x" * 2000), {"max_body_bytes": 1000}, "body_too_large", "the body is larger than 1000 bytes"),
    (BOMB, {"max_body_bytes": 9999}, "body_too_large", "the body is larger than 9999 bytes when it is unpacked"),
    (ok(b"no gzip", "Content-Encoding: gzip"), {}, "http_protocol", "the body is not of the coding gzip"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", {}, "http_protocol", NOT_HTTP),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", {}, "broken_off", CUT),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort", {}, "broken_off", CUT),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n\r\n", {}, "http_protocol", NOT_HTTP),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n", {}, "http_protocol", NOT_HTTP),
    (b"", {}, "broken_off", "the connection was closed without an answer"),
    (ok(), {"encrypted": True}, "assertion", "it is not encrypted"),
    (ok(b"", "Location: ftp://x/", status="302 Found"), {}, "http_redirect", PLACE),
    (ok(b"", "Location: /", status="302 Found"), {"redirects": 2}, "http_redirect", "it leads on after 2 redirects"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "asked", "reason", "text"), REFUSED)
async def test_what_is_wrong_with_an_answer_is_said(answer, asked, reason, text):
    found = await judged(answer, **asked)
    assert (found[0], found[1][: len(text)]) == (reason, text)


FINE = [
    (ok(b'{"a.b":{"c":[{"d.":1}]}}'), {"json": [{"path": "a\\.b.c.0.d\\.", "equals": 1}]}),
    (ok(status="404 No"), {"status": ["404"]}),
    (ok(b"all is well"), {"body_matches": ["w.ll$"], "body_lacks": ["lost"]}),
    (ok(b'{"a":[{"b":null}]}'), {"json": [{"path": "a.0.b", "equals": None}, {"path": "a", "matches": "null"}]}),
    (ok(gzip.compress(b"well", mtime=0), "Content-Encoding: gzip"), {"body_matches": ["^well$"]}),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n0\r\n\r\n", {"body_matches": ["^well$"]}),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", {"body_matches": ["the end$"]}),
    (ok(b"", "Location: /", status="302 Found"), {"redirects": 0, "status": ["3xx"]}),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(), {}),
    (ok("Störung".encode("latin-1")), {"body_matches": ["St.*rung"]}),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "asked"), FINE)
async def test_what_is_right_is_a_success(answer, asked):
    assert await judged(answer, **asked) == ("", "")


async def test_a_redirect_is_followed_and_credentials_stay_at_home(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    there = []
    async with listening(answering(ok(), asked=there)) as elsewhere:
        here = []
        moved = ok(b"", f"Location: http://127.0.0.1:{elsewhere}/there?q=1", status="303 See Other")
        async with listening(answering(moved, asked=here)) as port:
            auth = {"username": "me", "password_file": str(tmp_path / "password")}
            result = await run(port, "/here", method="POST", body="x=1", basic_auth=auth, headers={"X-A": "b"})
    assert result.success
    assert sample(result, "probe_http_redirects") == 1
    assert here[0].startswith(b"POST /here HTTP/1.1\r\n")
    assert here[0].endswith(b"\r\n\r\nx=1")
    assert b"Authorization: Basic bWU6aHVudGVyMg==" in here[0]
    assert there[0].startswith(b"GET /there?q=1 HTTP/1.1\r\n")
    assert b"uthorization" not in there[0]
    assert b"X-A: b" in there[0]
    assert "hunter2" not in "".join(result.log)


async def test_headers_that_are_credentials_are_for_the_target_alone(tmp_path):
    (tmp_path / "key").write_text("k3y-of-us\n")
    there, here = [], []
    async with listening(answering(ok(), asked=there)) as elsewhere:
        onward = ok(b"", "Location: /again", status="302 Found")
        away = ok(b"", f"Location: http://127.0.0.1:{elsewhere}/", status="307 Temporary Redirect")
        async with listening(answering(onward, away, asked=here)) as port:
            secret = {
                "Authorization": "Basic eA==",
                "cookie": "s=1",
                "Host": "shop.example",
                "Proxy-Authorization": "x",
            }
            files = {"X-Api-Key": str(tmp_path / "key")}
            result = await run(port, headers={**secret, "X-A": "b"}, header_files=files, method="POST", body="a=1")
    assert (result.text, result.success) == ("", True)
    for asked in here:
        assert b"Host: shop.example\r\n" in asked
        assert b"X-Api-Key: k3y-of-us\r\n" in asked
    assert there[0].startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % elsewhere)
    assert b"X-A: b\r\n" in there[0]
    for one in (b"uthorization", b"ookie", b"shop.example", b"Api-Key"):
        assert one in here[1]
        assert one not in there[0]


@pytest.mark.parametrize("key", ["bearer_token_file", "header_files", "basic_auth"])
@pytest.mark.parametrize("token", ["SECRET-AAA\nSECRET-BBB", "SECRET-Ä"])
async def test_a_secret_that_cannot_be_a_header_is_not_told(tmp_path, key, token):
    (tmp_path / "token").write_text(token)
    file, asked = str(tmp_path / "token"), []
    written = {"header_files": {"X-Key": file}, "basic_auth": {"username": "me", "password_file": file}}
    async with listening(answering(ok(), asked=asked)) as port:
        result = await run(port, **{key: written.get(key, file)})
    assert "SECRET" not in f"{result}"
    if key == "basic_auth":
        assert result.success
        return
    assert (result.reason, asked) == ("credentials", [])
    assert result.text == f"the secret file {file} cannot be a header: write one line of ASCII into it"


async def test_a_server_that_repeats_what_it_was_told_shows_no_secret(tmp_path):
    (tmp_path / "token").write_text("s3cret of/us")
    file = str(tmp_path / "token")
    here = [
        {"bearer_token_file": file},
        {"basic_auth": {"username": "me", "password_file": file}},
        {"header_files": {"X-Key": file}},
    ]

    async def repeat(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        told = next(line for line in head.splitlines() if line.startswith((b"Authorization", b"X-Key"))).split(b": ")[1]
        writer.write(ok(b"", f"Location: ftp://{told.decode()}", status="302 Found"))

    async with listening(repeat) as port:
        for given in here:
            result = await run(port, **given, json=[{"path": "a", "equals": 1}])
            assert "s3cret" not in f"{result}"
            assert "bWU6czNjcmV0" not in f"{result}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"headers": {"X-A": "a\nb"}}, "without line breaks"),
        ({"headers": {"X-A": "€"}}, "letters of Latin-1 alone"),
        ({"headers": {"x-a": "b"}, "header_files": {"X-A": "/f"}}, "the header X-A in headers or in header_files"),
        ({"proxy": "http://p:99999"}, "write a proxy such as"),
        ({"proxy": "https://p:1"}, "write a proxy such as"),
        ({"proxy": "http://me:pw@p:1"}, "write a proxy such as"),
        ({"proxy": "http://p:1/path"}, "write a proxy such as"),
        ({"proxy_auth": {"username": "me", "password_file": "/p"}}, "write a proxy: proxy_auth is shown to it alone"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_read(more, said):
    with pytest.raises(ValidationError, match=said):
        keys(**more)


async def test_a_header_may_have_all_letters_of_latin_1():
    asked = []
    async with listening(answering(ok(), asked=asked)) as port:
        assert (await run(port, headers={"X-A": "Größe"})).success
    assert "X-A: Größe\r\n".encode("latin-1") in asked[0]


async def test_a_password_that_is_not_there_fails_the_probe_and_nothing_is_sent(tmp_path):
    asked = []
    async with listening(answering(ok(), asked=asked)) as port:
        result = await run(port, bearer_token_file=str(tmp_path / "none"))
    assert (result.reason, asked) == ("credentials", [])
    assert "none cannot be read" in result.text


async def test_nobody_listens_or_nobody_is_called_so():
    assert (await run(free_port())).reason == "connect_refused"
    result = await run(80, host="no-such-host.invalid")
    assert result.reason in ("dns_nxdomain", "dns_failed")
    assert sample(result, "probe_success") == 0


@pytest.mark.parametrize(
    ("serve", "reason", "phase"),
    [
        (silent, "http_timeout", "processing"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"."), "http_timeout", "transfer"),
        (dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"."), "http_timeout", "transfer"),
    ],
)
async def test_one_that_says_nothing_or_ever_a_little_is_given_its_time_and_no_more(serve, reason, phase):
    async with listening(serve) as port:
        result = await run(port, timeout="200ms")
    assert (result.reason, result.text.endswith(f"waiting for: {phase}")) == (reason, True)
    assert 0.2 <= result.seconds < 1.5


UPGRADE = {"headers": {"Connection": "Upgrade", "Upgrade": "websocket"}}
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi"


async def test_a_server_that_goes_on_in_another_protocol_has_answered():
    assert await judged(SWITCHED, status=["101"], headers_match={"Upgrade": "^websocket$"}, **UPGRADE) == ("", "")
    assert await judged(SWITCHED, **UPGRADE) == ("http_status", "answers 101, and not 2xx")
    assert (await judged(SWITCHED))[0] == "http_protocol"  # nobody has asked for it
    assert await judged(ok(), **UPGRADE) == ("", "")
    assert await judged(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok()) == ("", "")


def test_connect_is_for_proxies():
    with pytest.raises(ValidationError, match="write a method that asks for something: CONNECT is for proxies"):
        keys(method="CONNECT")


async def test_a_certificate_is_judged_and_measured(tmp_path):
    context, trusted = certificate(tmp_path, "localhost")
    async with listening(answering(ok()), context) as port:
        good = await run(port, scheme="https", host="localhost", tls={"ca_file": trusted})
        assert (good.success, good.text) == (True, "")
        assert sample(good, "probe_http_ssl") == 1
        left = sample(good, "probe_ssl_earliest_cert_expiry") - WallClock().now().timestamp()
        assert left > 86400
        assert sample(good, "probe_http_duration_seconds", 'phase="tls"') > 0
        assert ("probe_tls_version_info", 'version="TLS 1.3"') in good.samples
        strangers = await run(port, scheme="https", host="localhost")
        assert (strangers.reason, "is not trusted" in strangers.text) == ("tls_untrusted", True)
        other = await run(port, scheme="https", tls={"ca_file": trusted})
        assert other.reason == "tls_name"
        named = await run(port, scheme="https", tls={"ca_file": trusted, "server_name": "localhost"})
        assert named.success
        unjudged = await run(port, scheme="https", tls={"verify": False})
        assert unjudged.success
        assert sample(unjudged, "probe_ssl_earliest_cert_expiry") == sample(good, "probe_ssl_earliest_cert_expiry")
        nothing = await run(port, scheme="https", tls={"ca_file": str(tmp_path / "none")})
        assert nothing.reason == "credentials"


async def test_a_certificate_that_has_expired_is_called_so(tmp_path):
    gone = WallClock().now() - timedelta(days=1)
    context, trusted = certificate(tmp_path, "localhost", not_after=gone)
    async with listening(answering(ok()), context) as port:
        result = await run(port, scheme="https", host="localhost", tls={"ca_file": trusted})
    assert (result.reason, result.text) == ("tls_expired", "the certificate of localhost has expired")


async def test_a_certificate_that_expires_soon_is_told_of_in_time(tmp_path):
    context, trusted = certificate(tmp_path, "localhost", not_after=WallClock().now() + timedelta(days=6))
    async with listening(answering(ok()), context) as port:
        asked = {"scheme": "https", "host": "localhost"}
        assert (await run(port, **asked, tls={"ca_file": trusted, "valid_for": "5d"})).success
        soon = await run(port, **asked, tls={"ca_file": trusted, "valid_for": "7d"})
    assert (soon.reason, soon.text) == ("tls_expires_soon", "the certificate expires in 5d23h59m, sooner than 7d")


async def test_a_certificate_in_between_that_expires_soon_is_seen(tmp_path):
    soon = (WallClock().now() + timedelta(days=6)).replace(microsecond=0)
    context, trusted = chain(tmp_path, "localhost", soon)
    asked = {"scheme": "https", "host": "localhost"}
    async with listening(answering(ok()), context) as port:
        for tls in ({"ca_file": trusted}, {"verify": False}):
            result = await run(port, **asked, tls={**tls, "valid_for": "7d"})
            assert result.reason == "tls_expires_soon"
            assert result.text.startswith("the certificate of ")
            assert result.text.endswith("in its chain expires in 5d23h59m, sooner than 7d")
            assert sample(result, "probe_ssl_earliest_cert_expiry") == soon.timestamp()
            assert sample(result, "probe_ssl_last_chain_expiry_timestamp_seconds") == soon.timestamp()
        assert (await run(port, **asked, tls={"ca_file": trusted, "valid_for": "5d"})).success


async def test_a_certificate_that_is_shown_and_not_needed_is_measured_and_fails_nothing(tmp_path):
    gone, later = (WallClock().now().replace(microsecond=0) + timedelta(days=days) for days in (-9, 30))
    old = AUTHORITY.issue_cert("old.example", not_after=gone).cert_chain_pems[0].bytes()
    context, trusted = chain(tmp_path, "localhost", later, beside=[old])
    async with listening(answering(ok()), context) as port:
        tls = {"ca_file": trusted, "valid_for": "7d"}
        result = await run(port, scheme="https", host="localhost", tls=tls)
    assert (result.success, result.text) == (True, "")
    assert sample(result, "probe_ssl_earliest_cert_expiry") == gone.timestamp()
    assert sample(result, "probe_ssl_last_chain_expiry_timestamp_seconds") == later.timestamp()


async def test_a_server_without_tls_fails_the_handshake():
    async with listening(answering(ok())) as port:
        assert (await run(port, scheme="https", timeout="500ms")).reason in ("tls_handshake", "tls_timeout")


async def test_a_proxy_is_gone_through(tmp_path):
    asked = []
    async with listening(answering(ok(b"by proxy"), asked=asked)) as proxy:
        (tmp_path / "password").write_text("hunter2")
        who = {"username": "me", "password_file": str(tmp_path / "password")}
        through = {"proxy": f"http://127.0.0.1:{proxy}", "proxy_auth": who}
        result = await run(1, "/path", host="shop.invalid", **through, body_matches=["by proxy"])
    assert (result.success, result.text) == (True, "")
    assert asked[0].startswith(b"GET http://shop.invalid:1/path HTTP/1.1\r\nHost: shop.invalid:1\r\n")
    assert b"\r\nProxy-Authorization: Basic bWU6aHVudGVyMg==\r\n" in asked[0]


async def test_https_goes_through_a_proxys_connect(tmp_path):
    context, trusted = certificate(tmp_path, "shop.invalid")
    (tmp_path / "password").write_text("hunter2")
    asked, heard = [], []

    async def proxy(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await writer.start_tls(context)
        await answering(ok(), asked=heard)(reader, writer)

    async with listening(proxy) as port:
        who = {"username": "me", "password_file": str(tmp_path / "password")}
        through = {"proxy": f"http://127.0.0.1:{port}/", "proxy_auth": who, "tls": {"ca_file": trusted}}
        result = await run(1, scheme="https", host="shop.invalid", **through)
        assert (result.success, result.text) == (True, "")
    head = b"CONNECT shop.invalid:1 HTTP/1.1\r\nHost: shop.invalid:1\r\nProxy-Authorization: Basic bWU6aHVudGVyMg==\r\n"
    assert asked == [head + b"\r\n"]
    assert b"Authorization" not in heard[0]
    assert sample(result, "probe_http_duration_seconds", 'phase="connect"') >= 0.1
    assert sample(result, "probe_http_duration_seconds", 'phase="tls"') > 0
    async with listening(answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as port:
        refused = await run(1, scheme="https", host="shop.invalid", proxy=f"http://127.0.0.1:{port}")
        assert (refused.reason, refused.text) == ("connect_failed", "the proxy refuses: HTTP/1.1 403 Forbidden")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200", b"x" * 300_000])
async def test_a_proxy_that_is_none(said):
    async with listening(answering(said)) as port:
        result = await run(1, scheme="https", host="shop.invalid", proxy=f"http://127.0.0.1:{port}")
    assert (result.reason, result.text) == ("connect_failed", "the proxy did not answer as a proxy does")
