"""What several replicas do to windows at once is numbered in the order in which it can be read."""

import threading

import pytest
from databases import emptied, postgresql_url
from playbook import NOON

from relay.store.window_log import ADDED, WindowAct, append_act, lock_acts, newest_act, read_acts

__all__ = ["postgresql_url"]

pytestmark = pytest.mark.servers


def test_an_act_that_is_kept_later_has_the_higher_number(postgresql_url):
    database, began, may_end = emptied(postgresql_url), threading.Event(), threading.Event()

    def write(connection, name):
        lock_acts(connection)
        append_act(connection, WindowAct(name, ADDED, "ana", NOON, {}))

    def slow(connection):
        write(connection, "one")
        began.set()
        may_end.wait(5)

    first = threading.Thread(target=database.transact, args=(slow,))
    first.start()
    began.wait(5)
    second = threading.Thread(target=database.transact, args=(lambda connection: write(connection, "two"),))
    second.start()
    second.join(0.3)
    assert database.read(newest_act) == 0
    may_end.set()
    first.join()
    second.join()
    acts = database.read(read_acts)
    assert [act.name for act in acts] == ["one", "two"]
    assert database.read(newest_act) == acts[-1].id
    database.close()
