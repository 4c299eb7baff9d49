import pytest

from relay.store.database import open_database


@pytest.fixture
def database(tmp_path):
    opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
    yield opened
    opened.close()
