"""The probes of databases, against real PostgreSQL, MariaDB and Redis, each with a replica."""

import asyncio
import time

import psycopg
import pytest
from places import listening, silent
from pydantic import TypeAdapter, ValidationError
from servers import PASSWORD, mariadb, postgres_with_tls, redis, standby_of, tell

from relay.clock import WallClock
from relay.demo.processes import free_port
from synthetic.checks import Module
from synthetic.execute import execute
from synthetic.run import REASONS

MODULE = TypeAdapter(Module)


def keys(kind, **more):
    return MODULE.validate_python({"kind": kind, "timeout": "3s", "ip_protocol": "ip4", **more})


async def run(kind, target, **more):
    result = await execute(keys(kind, **more), target, WallClock())
    assert result.reason in ("", *REASONS)
    assert PASSWORD not in f"{result.text} {result.log}"
    return result


def sample(result, name, labels=""):
    return result.samples.get((name, labels))


@pytest.fixture(scope="module")
def password(tmp_path_factory):
    file = tmp_path_factory.mktemp("secrets") / "password"
    file.write_text(PASSWORD + "\n")
    return str(file)


@pytest.fixture(scope="module")
def postgres():
    with postgres_with_tls() as (server, where):
        yield server, where


@pytest.fixture(scope="module")
def maria():
    with mariadb() as (port, where):
        yield port, where


# ---- what can be written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kind": "postgres"}, "write a username"),
        ({"kind": "redis", "database": "shop"}, "as a number"),
        ({"kind": "mysql", "username": "a", "tls": {"valid_for": "10d"}}, "write no valid_for"),
        ({"kind": "redis", "value": {"equals": 1, "at_least": 1}}, "write one of equals"),
        ({"kind": "redis", "must_be": "master"}, "'primary' or 'replica'"),
    ],
)
def test_mistakes_are_told(more, said):
    with pytest.raises(ValidationError, match=said):
        MODULE.validate_python(more)


@pytest.mark.parametrize("kind", ["postgres", "mysql", "redis"])
async def test_a_server_that_is_not_there_or_says_nothing(kind):
    who = {"username": "probe"}
    assert (await run(kind, f"127.0.0.1:{free_port()}", **who)).reason == "connect_refused"
    assert (await run(kind, "nowhere.invalid:1", **who)).reason.startswith("dns_")
    async with listening(silent) as port:
        began = time.perf_counter()
        result = await run(kind, f"127.0.0.1:{port}", **who, timeout="300ms")
    assert (result.reason, time.perf_counter() - began < 1) == ("timeout", True)


@pytest.mark.parametrize("kind", ["postgres", "mysql", "redis"])
async def test_a_server_of_another_kind(kind):
    for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b"\x05\x00\x00\x00\x0a5.5\x00"):

        async def serve(reader, writer, said=said):
            writer.write(said)
            await writer.drain()
            await reader.read(1000)

        async with listening(serve) as port:
            result = await run(kind, f"127.0.0.1:{port}", username="probe")
        assert result.reason in ("login_failed", "query_failed", "broken_off"), result


async def test_an_answer_of_redis_that_is_no_value():
    async def serve(reader, writer):
        await reader.read(1000)
        writer.write(b"%1\r\n+a\r\n+b\r\n")

    async with listening(serve) as port:
        assert (await run("redis", f"127.0.0.1:{port}", query="HELLO 3")).success
        result = await run("redis", f"127.0.0.1:{port}", query="HELLO 3", value={"equals": "b"})
    assert (result.reason, result.text) == ("assertion", "the query gives nothing, and not 'b'")


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


def at(server):
    return server.url.rpartition("@")[2].partition("/")[0].replace("127.0.0.1", "localhost")


@pytest.mark.servers
async def test_postgres_lets_us_in_and_answers(postgres, password):
    server, where = postgres
    who = {"username": "probe", "password_file": password, "database": "postgres"}
    count = {"query": "select count(*) from orders", "value": {"at_least": 3}}
    plain = await run("postgres", at(server), **who, **count)
    assert (plain.reason, plain.text) == ("", "")
    assert sample(plain, "probe_database_query_value") == 3
    phases = [sample(plain, "probe_database_duration_seconds", f'phase="{one}"') for one in ("connect", "query")]
    assert all(0 < seconds < 1 for seconds in phases)
    secured = await run("postgres", at(server), **who, tls={"ca_file": f"{where}/ca.pem"})
    assert (secured.reason, secured.text) == ("", "")


@pytest.mark.servers
@pytest.mark.parametrize(
    ("more", "reason", "said"),
    [
        ({"value": {"equals": 2}}, "assertion", "gives 1.0, and not 2"),
        ({"query": "select null", "value": {"matches": "x"}}, "assertion", "gives nothing"),
        ({"query": "select id from orders order by id", "value": {"at_most": 0}}, "assertion", "not at most 0"),
        ({"query": "select true", "value": {"equals": True}}, "", ""),
        ({"query": "select 'shut'", "value": {"matches": "^open"}}, "assertion", "does not match"),
        ({"query": "select * from nothing"}, "query_failed", 'relation "nothing" does not exist'),
        ({"query": "delete from orders"}, "query_failed", "read-only transaction"),
        ({"query": "commit; delete from orders"}, "query_failed", "multiple commands"),
        ({"query": "copy (select 1) to stdout"}, "query_failed", "write one that gives rows"),
        ({"query": "copy orders from stdin"}, "query_failed", "read-only transaction"),
        ({"query": "select pg_sleep(9)", "timeout": "300ms"}, "timeout", "waiting for: query"),
        ({"password_file": None}, "login_failed", "password"),
        ({"username": "nobody"}, "login_failed", "nobody"),
        ({"database": "nothing"}, "login_failed", "nothing"),
        ({"tls": {"ca_file": "other.pem"}}, "tls_untrusted", "certificate verify failed"),
        ({"tls": {"ca_file": "ca.pem", "server_name": "db.example"}}, "tls_name", "db.example"),
        ({"tls": {"verify": False}}, "", ""),
        ({"must_be": "replica"}, "assertion", "it is a primary"),
        ({"must_be": "primary"}, "", ""),
        ({"max_replication_lag": "1m"}, "replication_lag", "no replica streams from it"),
    ],
)
async def test_what_postgres_may_be_found_to_be(postgres, password, more, reason, said):
    server, where = postgres
    if "ca_file" in more.get("tls", {}):
        more = {**more, "tls": {**more["tls"], "ca_file": f"{where}/{more['tls']['ca_file']}"}}
    who = {"username": "probe", "password_file": password, "database": "postgres"}
    result = await run("postgres", at(server), **{**who, **more})
    assert (result.reason, said in result.text) == (reason, True), result.text


@pytest.mark.servers
async def test_libpq_does_not_write_to_the_log_by_itself(postgres, capfd):
    server, _ = postgres
    await run("postgres", at(server), username="probe", database="postgres")
    assert capfd.readouterr().err == ""


@pytest.mark.servers
async def test_replicas_of_postgres_are_found_to_lag(postgres, password):
    server, _ = postgres
    who = {"username": "probe", "password_file": password, "database": "postgres", "max_replication_lag": "500ms"}
    with psycopg.connect(server.url, autocommit=True) as admin, standby_of(server) as port:
        replica = f"localhost:{port}"
        with psycopg.connect(f"postgresql://relay@127.0.0.1:{port}/postgres", autocommit=True) as own:
            admin.execute("insert into orders values (4)")
            replayed = {"query": "select count(*) from orders where id = 4", "value": {"equals": 1}}
            await settled("postgres", replica, must_be="replica", **who, **replayed)
            await settled("postgres", at(server), must_be="primary", **who)
            own.execute("select pg_wal_replay_pause()")
            admin.execute("insert into orders values (5)")
            await asyncio.sleep(1)
            late = await run("postgres", replica, **who)
            assert (late.reason, sample(late, "probe_database_is_replica")) == ("replication_lag", 1)
            assert sample(late, "probe_database_replication_lag_seconds") >= 0.5
            own.execute("select pg_wal_replay_resume()")
            await settled("postgres", replica, **who)
            own.execute("alter system set primary_conninfo = ''")
            own.execute("select pg_reload_conf()")
            alone = await until(lambda: run("postgres", replica, **who), lambda result: not result.success)
            assert "receives nothing from a primary" in alone.text


async def until(look, good):
    """Look again and again for at most ten seconds."""
    for _ in range(100):
        found = await look()
        if good(found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def settled(kind, target, **more):
    return await until(lambda: run(kind, target, **more), lambda result: result.success)


# ---- MariaDB --------------------------------------------------------------------------------------------------------


@pytest.mark.servers
@pytest.mark.parametrize(
    ("more", "reason", "said"),
    [
        ({}, "", ""),
        ({"query": "select count(*) from orders", "value": {"equals": 0}}, "", ""),
        ({"query": "select 1.5", "value": {"at_least": 2}}, "assertion", "gives 1.5"),
        ({"query": "select 'open' union select 'shut'", "value": {"equals": "open"}}, "", ""),
        ({"query": "select * from nothing"}, "query_failed", "nothing"),
        ({"query": "insert into orders values (1)"}, "query_failed", "READ ONLY"),
        ({"query": "drop table orders"}, "query_failed", "READ ONLY"),
        ({"query": "select 1; drop table orders"}, "query_failed", "SQL syntax"),
        ({"query": "select sleep(9)", "timeout": "300ms"}, "timeout", "waiting for: query"),
        ({"password_file": None}, "login_failed", "Access denied"),
        ({"database": "nothing"}, "login_failed", "nothing"),
        ({"tls": {"ca_file": "ca.pem"}}, "", ""),
        ({"tls": {"ca_file": "other.pem"}}, "tls_untrusted", "not trusted"),
        ({"tls": {"ca_file": "ca.pem", "server_name": "db.example"}}, "tls_name", "certificate is not of"),
        ({"tls": {"verify": False}}, "", ""),
        ({"must_be": "primary"}, "", ""),
        ({"must_be": "replica"}, "assertion", "it is a primary"),
        ({"max_replication_lag": "1m"}, "replication_lag", "a primary does not know"),
    ],
)
async def test_what_mariadb_may_be_found_to_be(maria, password, more, reason, said):
    port, where = maria
    if "ca_file" in more.get("tls", {}):
        more = {**more, "tls": {**more["tls"], "ca_file": f"{where}/{more['tls']['ca_file']}"}}
    who = {"username": "probe", "password_file": password, "database": "shop"}
    result = await run("mysql", f"localhost:{port}", **{**who, **more})
    assert (result.reason, said in result.text) == (reason, True), result.text


@pytest.mark.servers
async def test_replicas_of_mariadb_are_found_to_lag(maria, password):
    primary, _ = maria
    who = {"username": "probe", "password_file": password, "database": "shop"}
    with mariadb(number=2, secured=False) as (port, _):
        source = f"change master to master_host='127.0.0.1', master_port={primary}, master_user='admin'"
        tell(port, f"{source}, master_password='{PASSWORD}', master_use_gtid=slave_pos", "start slave")
        replica = f"localhost:{port}"
        # A replica that has just begun may be told to lag by a second of what its primary wrote before.
        await until(
            lambda: run("mysql", replica, **who, must_be="replica", max_replication_lag="1s"),
            lambda result: result.success and sample(result, "probe_database_replication_lag_seconds") == 0,
        )
        tell(port, "stop slave")
        stopped = await run("mysql", replica, **who, max_replication_lag="1s")
        assert (stopped.reason, "stopped" in stopped.text) == ("replication_lag", True)
        plain = await run("mysql", replica, **who, tls={"verify": False})
        assert (plain.reason, "does the server offer TLS?" in plain.text) == ("tls_handshake", True)


# ---- Redis ----------------------------------------------------------------------------------------------------------


@pytest.mark.servers
async def test_redis_and_its_replica(password):
    options = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
    who = {"password_file": password}
    with redis(*options) as (port, secure, where), redis(*options, "--replicaof", "127.0.0.1", port) as (other, *_):
        for more, reason, said in [
            ({}, "", ""),
            ({"query": "set orders 7"}, "", ""),
            ({"query": "get orders", "value": {"at_least": 7}}, "", ""),
            ({"query": "get orders", "value": {"equals": "7"}, "database": "1"}, "assertion", "gives nothing"),
            ({"query": "llen orders"}, "query_failed", "WRONGTYPE"),
            ({"query": "eval 'return string.rep(\"x\", 2000000)' 0"}, "body_too_large", "longer"),
            ({"password_file": None}, "query_failed", "NOAUTH"),
            ({"username": "nobody"}, "login_failed", "WRONGPASS"),
            ({"database": "99"}, "login_failed", "out of range"),
            ({"must_be": "replica"}, "assertion", "it is a primary"),
        ]:
            result = await run("redis", f"localhost:{port}", **{**who, **more})
            assert (result.reason, said in result.text) == (reason, True), (more, result.text)
        tls = {"ca_file": f"{where}/ca.pem"}
        secured = await run("redis", f"localhost:{secure}", **who, tls=tls)
        assert secured.success
        assert sample(secured, "probe_ssl_earliest_cert_expiry") > WallClock().now().timestamp()
        soon = await run("redis", f"localhost:{secure}", **who, tls={**tls, "valid_for": "100d"})
        assert soon.reason == "tls_expires_soon"
        await settled("redis", f"localhost:{port}", **who, must_be="primary", max_replication_lag="5s")
        await settled("redis", f"localhost:{other}", **who, must_be="replica", max_replication_lag="30s")
        await run("redis", f"localhost:{other}", **who, query="replicaof 127.0.0.1 1")
        cut = await run("redis", f"localhost:{other}", **who, max_replication_lag="30s")
        assert (cut.reason, "link to the primary is down" in cut.text) == ("replication_lag", True)


REPLICA = "role:slave\r\nmaster_link_status:up\r\n"
PRIMARY = "role:master\r\nslave0:ip=192.0.2.7,port=6379,state=online,offset=1"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (REPLICA + "master_last_io_seconds_ago:3", ""),
        (REPLICA + "master_last_io_seconds_ago:31", "replication_lag"),
        (REPLICA, "replication_lag"),
        (REPLICA + "master_last_io_seconds_ago:-1", "replication_lag"),
        (REPLICA + "master_last_io_seconds_ago:soon", "replication_lag"),
        (f"{PRIMARY},lag=3\r\n", ""),
        (f"{PRIMARY}\r\n", "replication_lag"),
        (f"{PRIMARY},lag=1\r\nslave1:ip=192.0.2.8,state=online", "replication_lag"),
        (f"{PRIMARY},lag=nan\r\n", "replication_lag"),
    ],
)
async def test_a_lag_that_redis_does_not_tell_is_no_small_lag(told, reason):
    async def serve(reader, writer):
        for answer in (b"+PONG\r\n", b"$%d\r\n%s\r\n" % (len(told), told.encode())):
            await reader.read(1000)
            writer.write(answer)

    async with listening(serve) as port:
        result = await run("redis", f"127.0.0.1:{port}", max_replication_lag="30s")
    assert result.reason == reason, result.text
    assert ("cannot be told" in result.text) == (reason != "" and "31" not in told)
    assert (sample(result, "probe_database_replication_lag_seconds") is None) == ("cannot be told" in result.text)
