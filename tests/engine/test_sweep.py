"""The sweep in the whole service: it removes, counts, and lets those who wait go first."""

from datetime import timedelta

import pytest
from playbook import NOON
from service import service
from test_reconciling import incidents, metric, until
from world import ended, told

from relay.clock import ManualClock

pytestmark = pytest.mark.servers


async def test_what_is_old_is_removed_and_counted(tmp_path):
    clock = ManualClock(NOON)
    async with service(tmp_path, clock=clock) as relay:
        await relay.post({"version": "4", "groupKey": "g", "alerts": [told()]})
        await relay.post({"version": "4", "groupKey": "g", "alerts": [ended(told())]})
        await until(incidents(relay, "resolved"))
        clock.advance(timedelta(hours=1))
        await until(incidents(relay, "closed"))
        await relay.running.sweep.sweep()
        assert await metric(relay, "relay_swept_rows_total") == 0
        clock.advance(timedelta(days=401))
        await relay.running.sweep.sweep()
        assert await incidents(relay, "all")() == []
        assert await metric(relay, 'relay_swept_rows_total{table="inbox"}') == 2
        assert await metric(relay, 'relay_swept_rows_total{table="incidents"}') == 1
