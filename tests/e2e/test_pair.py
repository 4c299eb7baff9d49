"""A real pair of Alertmanagers: as a cluster, of which one ends, and parted, so that both tell of everything."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from e2e.ledger import Told, hold
from e2e.relay_process import relay, until
from service import HOOK

from relay.clock import WallClock
from relay.demo.monitoring import alertmanager
from relay.demo.processes import free_port
from relay.demo.programs import need
from relay.demo.standins import pagerduty

pytestmark = pytest.mark.servers

SERVICES = [f"s{number}" for number in range(20)]
QUICK = ("--cluster.peer-timeout=1s", "--cluster.gossip-interval=100ms", "--cluster.settle-timeout=2s")


def flags(clustered):
    if not clustered:
        return [("--cluster.listen-address=",)] * 2
    one, two = (f"127.0.0.1:{free_port()}" for _ in range(2))
    return [
        (f"--cluster.listen-address={mine}", f"--cluster.peer={other}", *QUICK)
        for mine, other in ((one, two), (two, one))
    ]


async def tell(running, addresses, services, ends_in):
    """Tell Alertmanagers of alerts that end in some seconds from now, as Prometheus does: each of them."""
    now = WallClock().now()
    alerts = [
        {
            "labels": {"alertname": "Errors", "service": service},
            "annotations": {"summary": "it fails"},
            "startsAt": (now - timedelta(minutes=1)).isoformat(),
            "endsAt": (now + timedelta(seconds=ends_in)).isoformat(),
        }
        for service in services
    ]
    for address in addresses:
        async with running.client.post(f"http://{address}/api/v2/alerts", json=alerts) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("clustered", [True, False], ids=["cluster", "parted"])
async def test_a_pair_rings_once_and_ends_though_one_of_them_is_gone(tmp_path, clustered):
    program = need(["prometheus-alertmanager"], print)["prometheus-alertmanager"]
    async with (
        pagerduty.stand_in(limit=None) as pager,
        relay(tmp_path, pager.url) as running,
        AsyncExitStack() as other,
    ):
        await running.start()
        webhook = f"http://127.0.0.1:{running.port}/api/v1/webhooks/alertmanager/prod"
        first, second = flags(clustered)
        gone = await other.enter_async_context(alertmanager(program, tmp_path / "gone", webhook, HOOK, first))
        async with alertmanager(program, tmp_path / "stays", webhook, HOOK, second) as stays:
            book = Told(accepted=set(SERVICES))
            await tell(running, (gone, stays), SERVICES, 600)

            async def all_ring():
                return len(pager.open_keys()) == len(SERVICES)

            await until(all_ring, 60)
            await other.aclose()
            await tell(running, (stays,), SERVICES[::2], -1)
            book.ending = book.over = set(SERVICES[::2])
            how = "clustered" if clustered else "parted, so that both tell"
            how = f"{how}; one of them ends, and then half of the alerts"
            await hold(running, pager, book, "a pair of Alertmanagers", how, 60)
