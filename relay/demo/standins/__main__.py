"""`python -m relay.demo.standins pagerduty --port 0`: a stand-in as a program of its own."""

import asyncio
import signal

import click

from relay.demo.standins import make


@click.command()
@click.argument("vendor", type=click.Choice(["pagerduty", "opsgenie", "jsm"]))
@click.option("--port", default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--limit", default=None, type=int, help="Requests a minute for each key; without it there is no limit.")
@click.option("--delay", default=0.0, help="Seconds until Opsgenie processes what it has queued.")
def main(vendor: str, port: int, limit: int | None, delay: float) -> None:
    """Stand in for a vendor until SIGTERM or Ctrl-C. The first line of the output is its URL."""
    asyncio.run(_run(vendor, port, limit, delay))


async def _run(vendor: str, port: int, limit: int | None, delay: float) -> None:
    stand_in = make(vendor, limit, delay)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stand_in.start(port)
    click.echo(stand_in.url)
    await stopped.wait()
    await stand_in.stop()


if __name__ == "__main__":
    main()
