"""The command line. Exit codes: 0 all is well, 1 something was found, 2 wrong usage, 3 a server failed."""

import click

from relay.cli.check import check
from relay.cli.explain import explain
from relay.cli.incident import incident
from relay.cli.operate import openapi, quarantine, token, verify
from relay.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="relay")
def main() -> None:
    """Carry an outage through its whole life, between Prometheus Alertmanager and the pager."""


for command in (serve, check, explain, incident, quarantine, verify, token, openapi):
    main.add_command(command)
