"""`relay-synthetic`: the worker on the command line. Exit codes: 0 well, 1 findings, 2 usage, 3 the worker failed."""

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from relay.clock import WallClock
from relay.config.complaints import Rejected
from relay.config.logs import configure
from relay.config.secrets import SecretMissing, read_secret
from synthetic import push
from synthetic.convert import convert_file
from synthetic.kinds import NAME
from synthetic.pull import NotPulled
from synthetic.push import Receiver
from synthetic.service import Push, Tokens, bind_error, serve
from synthetic.worker import AT_ONCE

FINDINGS, SERVER = 1, 3


def _header(context: click.Context, option: click.Parameter, written: Sequence[str]) -> dict[str, str]:
    """Read headers. Raises `BadParameter`."""
    headers = {}
    for text in written:
        name, colon, value = text.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name) or not re.fullmatch(r"[ -~]+", value.strip()):
            raise click.BadParameter(f'"{text}" is no header: write "X-Scope-OrgID: shop"')
        headers[name] = value.strip()
    return headers


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="relay")
@click.option("--location", envvar="RELAY_LOCATION", help="The name of the place that it probes from.")
@click.option("--rules", type=click.Path(path_type=Path), default=Path("rules/probes"), show_default=True)
@click.option("--listen", default="127.0.0.1:9115", show_default=True, help="Address and port of its own server.")
@click.option("--token-file", envvar="RELAY_TOKEN_FILE", help="File with the token for runs on demand and reloads.")
@click.option("--peer-token-file", help="File with the token of all workers for each other; else --token-file.")
@click.option("--from-relay", help="Pull the probe files from a Relay, and keep them in --rules.")
@click.option("--relay-token-file", help="File with a viewer's token for Relay; else --token-file.")
@click.option("--push-to", help="Address of a Pushgateway, where Prometheus cannot come to scrape.")
@click.option("--push-every", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="Seconds.")
@click.option("--push-token-file", help="File with a bearer token for the Pushgateway.")
@click.option("--remote-write-to", help="Address that takes remote write, such as http://prometheus:9090/api/v1/write.")
@click.option("--remote-write-token-file", help="File with a bearer token for it.")
@click.option("--remote-write-header", multiple=True, callback=_header, help='A header for it: "X-Scope-OrgID: shop".')
@click.option("--at-once", type=click.IntRange(1, 10_000), default=AT_ONCE, show_default=True, help="Probes at a time.")
@click.pass_context
def main(
    context: click.Context, /, location: str | None, rules: Path, listen: str, at_once: int, **options: Any
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
    where = (host.strip("[]") or "0.0.0.0", int(port))
    try:
        tokens, pushes = _tokens(options), _pushes(location, options)
        relay = options["from_relay"] or ""
        asyncio.run(serve(rules, location, where, tokens, at_once, lambda bound: None, relay, pushes))
    except Rejected as rejected:
        click.echo(f"{rejected}\n\nrelay-synthetic did not start: mend the files above.", err=True)
        sys.exit(FINDINGS)
    except (SecretMissing, NotPulled, Unsupported) as missing:
        click.echo(f"relay-synthetic did not start: {missing}", err=True)
        sys.exit(SERVER)
    except OSError as error:
        click.echo(f"relay-synthetic did not start: {bind_error(error, listen)}", err=True)
        sys.exit(SERVER)


def _tokens(options: Mapping[str, Any]) -> Tokens:
    """Read the tokens. Raises `SecretMissing`."""
    own = _token(options["token_file"])
    return Tokens(own, _token(options["peer_token_file"]) or own, _token(options["relay_token_file"]) or own)


def _token(file: str | None) -> str:
    return read_secret(file, None) if file else ""


def _pushes(location: str, options: Mapping[str, Any]) -> list[Push]:
    """Who is told of what is seen. Raises `SecretMissing` and `Unsupported`."""
    every, pushes = options["push_every"], list[Push]()
    if url := options["push_to"]:
        gateway = Receiver(url, every, _token(options["push_token_file"]))
        pushes.append(partial(push.follow, location=location, gateway=gateway))
    if url := options["remote_write_to"]:
        headers = options["remote_write_header"]
        receiver = Receiver(url, every, _token(options["remote_write_token_file"]), headers)
        pushes.append(partial(_remote_write(), location=location, receiver=receiver, clock=WallClock()))
    return pushes


class Unsupported(Exception):
    """A library that is needed is not installed. The message says how it is."""


def _remote_write() -> Callable[..., Coroutine[None, None, None]]:
    """Give what writes to a receiver. Raises `Unsupported`."""
    try:
        found: Callable[..., Coroutine[None, None, None]] = import_module("synthetic.remote_write").follow
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith(("cramjam", "google")):
            raise
        raise Unsupported("remote write needs an extra: pip install 'relay[remote-write]'") from None
    return found


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def convert(file: Path) -> None:
    """Write blackbox_exporter's configuration as modules of probe files, and say what has no counterpart."""
    text, left_out = convert_file(file)
    click.echo(text, nl=False)
    for line in left_out:
        click.echo(line, err=True)
    sys.exit(FINDINGS if left_out else 0)
