"""Databases that fail over, networks that part, and versions that are rolled, under replicas of Relay."""

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from databases import postgresql
from e2e.ledger import Told, hold, storms
from e2e.relay_process import relay, until
from e2e.test_replicas import LATE
from e2e.way import way

import relay as package
from relay.demo.standins import pagerduty
from relay.engine.turn import LEASE

pytestmark = pytest.mark.servers

NEWER = '''"""A table has grown: a migration of a version that is still to come."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None


def upgrade():
    op.add_column("incident", sa.Column("newer", sa.Text, nullable=True))
'''


@asynccontextmanager
async def replicas(directory, url_of_one, url_of_two):
    """Two replicas that reach their database by ways of their own, and their pager."""
    for name in ("one", "two"):
        (directory / name).mkdir()
    async with (
        pagerduty.stand_in(limit=None) as pager,
        relay(directory / "one", pager.url, options=["--database", url_of_one]) as one,
        relay(directory / "two", pager.url, options=["--database", url_of_two]) as two,
    ):
        await one.start()
        await two.start()
        yield one, two, pager


def by(path, url):
    """The address of a database by a way."""
    return f"{url.rpartition(':')[0]}:{path.port}/postgres"


async def ready(running):
    return await running.status("/-/ready") == 200


async def test_a_replica_parted_from_the_database_says_so_and_the_other_carries_on(tmp_path):
    with postgresql() as database:
        async with (
            way(int(database.url.rpartition(":")[2].partition("/")[0])) as path,
            replicas(tmp_path, by(path, database.url), database.url) as (one, two, pager),
        ):
            book = Told()

            async def part():
                await asyncio.sleep(0.7)
                path.silent(True)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(storms(book, 0.7, "both", one, two))
                tasks.create_task(part())
            began, alone = asyncio.get_running_loop().time(), Told()
            await storms(alone, 1, "alone", two)
            book.accepted |= alone.accepted
            book.ending |= alone.ending
            book.over |= alone.over
            assert alone.accepted, "the replica that reaches the database took nothing"

            async def not_ready():
                return not await ready(one)

            await until(not_ready, LEASE.total_seconds())
            await hold(two, pager, alone, "a replica is parted", "its database says nothing; the other's alerts", LATE)
            await asyncio.sleep(max(0.0, began + LEASE.total_seconds() + 5 - asyncio.get_running_loop().time()))
            path.silent(False)
            await until(lambda: ready(one), LATE)
            how = "its database says nothing for longer than its lease, in a storm, PostgreSQL, two replicas"
            await hold(two, pager, book, "a replica is parted", how, LATE)


async def test_a_database_that_fails_over_to_a_synchronous_standby_loses_nothing(tmp_path):
    directory = Path(tempfile.mkdtemp(prefix="relay-standby-"))
    with postgresql("max_wal_senders=4", "wal_level=replica") as primary:
        standby = primary.standby(directory)
        try:
            primary.ask("alter system set synchronous_standby_names = '*'")
            primary.ask("select pg_reload_conf()")
            async with way(int(primary.url.rpartition(":")[2].partition("/")[0])) as path:
                url = by(path, primary.url)
                async with replicas(tmp_path, url, url) as (one, two, pager):
                    book = Told()

                    async def fail_over():
                        await asyncio.sleep(0.7)
                        await asyncio.to_thread(primary.kill)
                        await asyncio.to_thread(standby.ask, "select pg_promote()")
                        path.to = int(standby.url.rpartition(":")[2].partition("/")[0])
                        path.cut()

                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(storms(book, 2.5, "s", one, two))
                        tasks.create_task(fail_over())

                    async def taken():
                        return await book.fires(one, "afterwards") == 200

                    await until(taken, LATE)
                    how = "PostgreSQL killed in a storm, its synchronous standby promoted, two replicas"
                    await hold(two, pager, book, "the database fails over", how, LATE)
            primary.start()
        finally:
            standby.stop()
            shutil.rmtree(directory, ignore_errors=True)


async def test_two_versions_are_rolled_one_replica_after_the_other(tmp_path):
    """The newer one is this one with one migration more; it runs beside the older one, before and after that."""
    newer = tmp_path / "newer"
    shutil.copytree(Path(package.__file__).parent, newer / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    versions = newer / "relay" / "store" / "migrations" / "versions"
    head = max(path.stem[:4] for path in versions.glob("[0-9]*.py"))
    (versions / "9999_newer.py").write_text(NEWER.format(head=head))
    with postgresql() as database:
        async with replicas(tmp_path, database.url, database.url) as (one, two, pager):
            book = Told()

            async def roll():
                for replica in (one, two):
                    await asyncio.sleep(0.7)
                    assert await replica.terminate() == 0
                    replica.environment = {"PYTHONPATH": str(newer)}
                    await replica.start()

            async with asyncio.TaskGroup() as tasks:
                rolling = tasks.create_task(roll())
                while not rolling.done():
                    await storms(book, 0.5, f"s{len(book.accepted)}", one, two)
            assert database.ask("select count(*) from information_schema.columns where column_name = 'newer'") == 1
            assert database.ask("select version_num from alembic_version") == "9999"
            how = "two replicas ended and started anew, one after the other, with one migration more, in a storm"
            await hold(two, pager, book, "a new version is rolled", how, LATE)
