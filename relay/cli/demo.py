"""`relay demo`: an outage, told as it happens, against real servers."""

import asyncio
import sys

import click

from relay.demo.processes import DidNotStart
from relay.demo.programs import ProgramMissing
from relay.demo.story import run

SERVER = 3


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running, with its addresses, until Ctrl-C.")
def demo(keep: bool) -> None:
    """Tell an outage as it happens: a real Prometheus, a real Alertmanager, Relay, and stand-ins for the pagers.

    Exit 0 only if everything went as the story says.
    """
    try:
        sys.exit(asyncio.run(run(keep, click.echo)))
    except (ProgramMissing, DidNotStart) as failure:
        click.echo(str(failure), err=True)
        sys.exit(SERVER)
    except KeyboardInterrupt:
        sys.exit(130)
