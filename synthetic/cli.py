"""`relay-synthetic`: the worker on the command line. Exit codes: 0 well, 1 findings, 2 usage, 3 the worker failed."""

import asyncio
import re
import sys
from pathlib import Path

import click

from relay.config.complaints import Rejected
from relay.config.logs import configure
from relay.config.secrets import SecretMissing, read_secret
from synthetic.convert import convert_file
from synthetic.kinds import NAME
from synthetic.pull import NotPulled
from synthetic.push import Pushgateway
from synthetic.service import bind_error, serve
from synthetic.worker import AT_ONCE

FINDINGS, SERVER = 1, 3


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="relay")
@click.option("--location", envvar="RELAY_LOCATION", help="The name of the place that it probes from.")
@click.option("--rules", type=click.Path(path_type=Path), default=Path("rules/probes"), show_default=True)
@click.option("--listen", default="127.0.0.1:9115", show_default=True, help="Address and port of its own server.")
@click.option("--token-file", envvar="RELAY_TOKEN_FILE", help="File with the token for runs on demand and reloads.")
@click.option("--from-relay", help="Pull the probe files from a Relay, and keep them in --rules.")
@click.option("--push-to", help="Address of a Pushgateway, where Prometheus cannot come to scrape.")
@click.option("--push-every", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="Seconds.")
@click.option("--push-token-file", help="File with a bearer token for the Pushgateway.")
@click.option("--at-once", type=click.IntRange(1, 10_000), default=AT_ONCE, show_default=True, help="Probes at a time.")
@click.pass_context
def main(
    context: click.Context,
    location: str | None,
    rules: Path,
    listen: str,
    token_file: str | None,
    from_relay: str | None,
    push_to: str | None,
    push_every: float,
    push_token_file: str | None,
    at_once: int,
) -> None:
    """Probe services from one location, and tell Prometheus what is seen."""
    if context.invoked_subcommand:
        return
    if not location:
        raise click.UsageError("say where it probes from: --location eu-west")
    if not re.fullmatch(NAME, location):
        raise click.UsageError(f'"{location}" is no name of a place: write letters and digits, as in eu-west')
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f'"{listen}" is not an address and a port: write 127.0.0.1:9115')
    configure("text")
    try:
        token = read_secret(token_file, None) if token_file else ""
        push_token = read_secret(push_token_file, None) if push_token_file else ""
        gateway = Pushgateway(push_to, push_every, push_token) if push_to else None
        address = host.strip("[]") or "0.0.0.0"
        where = (address, int(port))
        asyncio.run(serve(rules, location, where, token, at_once, lambda bound: None, from_relay or "", gateway))
    except Rejected as rejected:
        click.echo(f"{rejected}\n\nrelay-synthetic did not start: mend the files above.", err=True)
        sys.exit(FINDINGS)
    except (SecretMissing, NotPulled) as missing:
        click.echo(f"relay-synthetic did not start: {missing}", err=True)
        sys.exit(SERVER)
    except OSError as error:
        click.echo(f"relay-synthetic did not start: {bind_error(error, listen)}", err=True)
        sys.exit(SERVER)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def convert(file: Path) -> None:
    """Write blackbox_exporter's configuration as modules of probe files, and say what has no counterpart."""
    text, left_out = convert_file(file)
    click.echo(text, nl=False)
    for line in left_out:
        click.echo(line, err=True)
    sys.exit(FINDINGS if left_out else 0)
