"""`relay serve`: run the service."""

import sys
from pathlib import Path

import click
import structlog
import uvloop

from relay.config.complaints import Rejected
from relay.config.logs import configure
from relay.config.secrets import SecretMissing
from relay.config.settings import LEVELS, Settings, load_settings
from relay.http.service import CannotListen
from relay.http.service import serve as serve_
from relay.store.database import StoreUnusable

log = structlog.get_logger()

FINDINGS, SERVER = 1, 3


@click.command()
@click.option("--config", type=click.Path(path_type=Path), envvar="RELAY_CONFIG", help="Settings file (relay.yaml).")
@click.option("--rules", help="Directory of rule files, or one file.  [default: rules]")
@click.option("--listen", help="Address and port.  [default: 127.0.0.1:9096]")
@click.option("--data", help="Directory for the embedded database; made if missing.  [default: data]")
@click.option("--database", help="postgresql://… instead of the embedded SQLite.")
@click.option("--external-url", help="Relay's address as people reach it, for links in pages.")
@click.option("--log-format", type=click.Choice(["json", "text"]), help="How logs are written.  [default: json]")
@click.option("--log-level", type=click.Choice(LEVELS), help="From which level on lines are written.  [default: info]")
def serve(config: Path | None, **flags: str | None) -> None:
    """Receive alerts, decide, and page.

    Settings come from flags, then the environment (RELAY_LISTEN, RELAY_DATABASE …), then the file, then defaults.
    """
    try:
        settings = load_settings(config, flags)
        configure(settings.log_format, settings.log_level)
        _warn_of_closed_doors(settings)
        uvloop.run(serve_(settings))
    except BaseExceptionGroup as failures:
        _fail(_first(failures))
    except Exception as failure:
        _fail(failure)


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _fail(failure: BaseException) -> None:
    match failure:
        case Rejected():
            click.echo(f"{failure}\n\nRelay did not start: mend the files above.", err=True)
            sys.exit(FINDINGS)
        case SecretMissing() | StoreUnusable() | CannotListen():
            click.echo(f"Relay did not start: {failure}", err=True)
            sys.exit(SERVER)
        case _:
            raise failure


def _warn_of_closed_doors(settings: Settings) -> None:
    if not settings.sources:
        log.warning("no sources are set, so nobody can post alerts (see docs/settings.md)")
    if not settings.tokens:
        log.warning("no tokens are set, so nobody can use the API (see docs/settings.md)")
