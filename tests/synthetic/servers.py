"""Real databases and a real gRPC server, with replicas, passwords and TLS, for the probes to meet."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import hiredis
import psycopg
import pymysql
import trustme
from databases import postgresql

from relay.clock import WallClock
from relay.demo.processes import free_port
from relay.demo.programs import need

PASSWORD = "Geheim-42%"
AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()


@contextmanager
def directory(owner):
    """A directory that a server's user may use."""
    path = Path(tempfile.mkdtemp(prefix=f"relay-{owner}-"))
    if os.geteuid() == 0:
        shutil.chown(path, owner, owner)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def as_user(name):
    return ["runuser", "-u", name, "--"] if os.geteuid() == 0 else []


def certificates(where, owner):
    """Certificate, key and authority for `localhost`, as files of a server's user."""
    AUTHORITY.cert_pem.write_to_path(str(where / "ca.pem"))
    OTHER_AUTHORITY.cert_pem.write_to_path(str(where / "other.pem"))
    issued = AUTHORITY.issue_cert("localhost", not_after=WallClock().now() + timedelta(days=90))
    issued.private_key_pem.write_to_path(str(where / "server.key"))
    issued.cert_chain_pems[0].write_to_path(str(where / "server.pem"))
    (where / "server.key").chmod(0o600)
    where.chmod(0o755)
    if os.geteuid() == 0:
        for file in where.iterdir():
            shutil.chown(file, owner, owner)
    return where


@contextmanager
def running(command, ready, **more):
    """Run a server until the context ends; `ready` raises until it can be used."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, **more)
        try:
            for _ in range(400):
                assert server.poll() is None, (log.seek(0), log.read().decode())[1]
                try:
                    ready()
                    break
                except Exception as error:
                    trouble = error
                    time.sleep(0.05)
            else:
                raise AssertionError((log.seek(0), log.read().decode())[1]) from trouble
            yield server
        finally:
            server.terminate()
            server.wait(20)


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


@contextmanager
def postgres_with_tls():
    """Gives the server, and the directory with its certificates. Its user `probe` needs a password."""
    with directory("postgres") as where:
        certificates(where, "postgres")
        files = (f"ssl_cert_file={where}/server.pem", f"ssl_key_file={where}/server.key")
        with postgresql("ssl=on", *files, "wal_sender_timeout=2s") as server:
            with psycopg.connect(server.url, autocommit=True) as admin:
                admin.execute(f"create role probe login password '{PASSWORD}'")
                admin.execute("grant pg_monitor to probe")
                admin.execute("create table orders (id int); insert into orders values (1), (2), (3)")
                admin.execute("grant all on orders to probe")
                ((hba,),) = admin.execute("show hba_file").fetchall()
                Path(hba).write_text(
                    "host all probe all scram-sha-256\nhost all all all trust\n"
                    "host replication all all trust\nlocal all all trust\n"
                )
                admin.execute("select pg_reload_conf()")
            yield server, where


@contextmanager
def standby_of(server):
    """A replica of a PostgreSQL server; gives its port."""
    programs, port = need(["postgres"], print), free_port()
    base = programs["postgres"].resolve().parent / "pg_basebackup"
    with directory("postgres") as where:
        data = where / "data"
        url = server.url.rpartition("/")[0]
        subprocess.run([*as_user("postgres"), base, "-D", data, "-R", "-d", url, "-c", "fast", "-X", "stream"],
                       check=True, capture_output=True, cwd=where)  # fmt: skip
        command = [*as_user("postgres"), programs["postgres"], "-D", data, "-p", port, "-k", where, "-h", "127.0.0.1"]
        with running(command, lambda: psycopg.connect(f"{url.rpartition(':')[0]}:{port}/postgres").close(), cwd=where):
            yield port


# ---- MariaDB --------------------------------------------------------------------------------------------------------


@contextmanager
def mariadb(number=1, secured=True):
    """Gives the port, and the directory with its certificates. Its users `probe` and `root` have the password."""
    programs, port = need(["mariadbd", "mariadb-install-db"], print), free_port()
    with directory("mysql") as where:
        certificates(where, "mysql")
        made = [programs["mariadb-install-db"], "--no-defaults", f"--datadir={where}/data", "--skip-test-db",
                "--auth-root-authentication-method=normal", "--user=mysql"]  # fmt: skip
        subprocess.run(made, check=True, capture_output=True)
        first = where / "first.sql"
        statements = [
            f"create user if not exists probe identified by '{PASSWORD}'",
            f"create user if not exists admin identified by '{PASSWORD}'",
            "grant all on *.* to admin with grant option",
            "create database if not exists shop",
            "create table if not exists shop.orders (id int)",
            "grant all on shop.* to probe",
            "grant replica monitor on *.* to probe",
        ]
        first.write_text("".join(f"{statement};\n" for statement in statements))
        shutil.chown(first, "mysql") if os.geteuid() == 0 else None
        tls = [f"--ssl-cert={where}/server.pem", f"--ssl-key={where}/server.key"] if secured else ["--skip-ssl"]
        command = [*as_user("mysql"), programs["mariadbd"], "--no-defaults", f"--datadir={where}/data",
                   f"--port={port}", "--bind-address=127.0.0.1", f"--socket={where}/socket", "--skip-name-resolve",
                   f"--init-file={first}", f"--server-id={number}", "--innodb-flush-log-at-trx-commit=0",
                   *(["--log-bin"] if number == 1 else []), *tls]  # fmt: skip
        with running(command, lambda: admin(port).close(), cwd=where):
            yield port, where


def admin(port):
    return pymysql.connect(host="127.0.0.1", port=port, user="admin", password=PASSWORD, autocommit=True)


def tell(port, *statements):
    """Run statements as the administrator."""
    with admin(port) as client, client.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


# ---- Redis ----------------------------------------------------------------------------------------------------------


@contextmanager
def redis(*options):
    """Gives the port, the port for TLS, and the directory with its certificates."""
    programs, port, secure = need(["redis-server"], print), free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        where = certificates(Path(name), "root")
        command = [programs["redis-server"], "--port", port, "--tls-port", secure, "--save", "", "--dir", where,
                   "--tls-cert-file", where / "server.pem", "--tls-key-file", where / "server.key",
                   "--tls-auth-clients", "no", "--tls-ca-cert-file", where / "ca.pem", *options]  # fmt: skip

        def ready():
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(hiredis.pack_command(("PING",)))
                assert line.recv(100)

        with running(command, ready):
            yield port, secure, where
