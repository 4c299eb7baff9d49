"""A backup of a running service can be restored."""

import asyncio
import json
import stat

import pytest
from click.testing import CliRunner
from service import service
from world import told

from relay.cli import main

pytestmark = pytest.mark.servers


def backup(*words):
    return CliRunner().invoke(main, ["backup", *map(str, words)], catch_exceptions=False)


async def test_a_backup_under_load_is_whole_and_can_be_restored(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    copy = tmp_path / "relay-backup.db"

    async def post(relay, number):
        alerts = [told(service=f"s{number}", fingerprint=f"{number}")]
        assert (await relay.post({"version": "4", "groupKey": "g", "alerts": alerts}))[0] == 200

    async with service(tmp_path / "one") as relay:
        for number in range(20):
            await post(relay, number)
        words = (copy, "--data", tmp_path / "one" / "data", "-o", "json")
        copying = asyncio.get_running_loop().run_in_executor(None, backup, *words)
        number = 20
        while not copying.done():
            await post(relay, number)
            number += 1
        said = copying.result()
        assert said.exit_code == 0, said.output
    told_of = json.loads(said.stdout)["incidents"]
    assert 20 <= told_of <= number
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    (tmp_path / "two" / "data").mkdir()
    copy.rename(tmp_path / "two" / "data" / "relay.db")
    async with service(tmp_path / "two") as relay:
        _, listed = await relay.ask("GET", "/api/v1/incidents?limit=500", role="viewer")
        assert len(listed["incidents"]) == told_of
        _, verified = await relay.ask("GET", "/api/v1/verify", role="viewer")
        assert verified == {"incidents": told_of, "problems": {}}


@pytest.fixture
async def data(tmp_path):
    async with service(tmp_path):
        pass
    return tmp_path / "data"


async def test_nothing_is_written_over_unless_asked(data, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    refused = backup(copy, "--data", data)
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr
    assert copy.read_text() == "precious"
    done = backup(copy, "--data", data, "--force")
    assert done.exit_code == 0
    assert done.output.startswith(f"{copy}: 0 incidents, ")


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", ".lock"])
async def test_the_database_itself_is_never_written_over(data, ending):
    before = (data / "relay.db").read_bytes()
    refused = backup(data / ".." / "data" / f"relay.db{ending}", "--data", data, "--force")
    assert refused.exit_code == 2
    assert "is the database itself" in refused.stderr
    assert (data / "relay.db").read_bytes() == before


async def test_what_is_no_file_is_not_replaced_by_one(data, tmp_path):
    (tmp_path / "there").mkdir()
    refused = backup(tmp_path / "there", "--data", data, "--force")
    assert (refused.exit_code, "is no file: name one" in refused.stderr) == (2, True)


async def test_the_database_is_for_its_owner_alone_in_whatever_directory(tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    async with service(tmp_path) as relay:
        await relay.post({"version": "4", "groupKey": "g", "alerts": [told()]})
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "data").glob("relay.db*")}
    assert modes["relay.db"] == modes["relay.db-wal"] == modes["relay.db-shm"] == 0o600


async def test_what_cannot_be_copied_leaves_nothing_behind(data, tmp_path):
    (data / "relay.db").write_bytes(b"not a database" * 100)
    failed = backup(tmp_path / "copy.db", "--data", data)
    assert failed.exit_code == 3
    assert "the backup failed, and nothing was written" in failed.stderr
    assert not list(tmp_path.glob("copy.db*"))


def test_without_a_database_it_says_so(tmp_path):
    said = backup(tmp_path / "copy.db", "--data", tmp_path / "nowhere")
    assert said.exit_code == 2
    assert "there is no database at" in said.stderr


def test_postgresql_has_a_program_of_its_own(tmp_path):
    (tmp_path / "relay.yaml").write_text("database: postgresql://relay@db/relay\n")
    said = backup(tmp_path / "copy.db", "--config", tmp_path / "relay.yaml")
    assert said.exit_code == 2
    assert "pg_dump" in said.stderr
