"""Asking the running service over its API."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import requests

from relay.config.printable import printable

USAGE, SERVER = 2, 3
_CANNOT_BE_MEANT = (400, 404, 409, 422)
TIMEOUT = 30.0
Command = TypeVar("Command", bound=Callable[..., Any])


def remote_options(command: Command) -> Command:
    """Add `--url` and `--token-file`."""
    command = click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        envvar="RELAY_TOKEN_FILE",
        help="File that holds your token; or set RELAY_TOKEN.",
    )(command)
    return click.option(
        "--url", envvar="RELAY_URL", default="http://127.0.0.1:9096", show_default=True, help="Where Relay is."
    )(command)


class Remote:
    """A client of the API. A refusal ends the command with the service's own words, and exit code 3, or 2 for a request
    that cannot be meant.
    """

    def __init__(self, url: str, token_file: Path | None) -> None:
        self._url = url.rstrip("/")
        self._token = read_token(token_file)
        self._token_at = str(token_file or "RELAY_TOKEN")

    def get(self, path: str, **query: Any) -> Any:
        """Look something up."""
        params = {k: as_utf8(v) if isinstance(v, str) else v for k, v in query.items() if v is not None}
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Let something happen."""
        said = as_utf8(json.dumps(body, ensure_ascii=False)).encode()
        return self._ask("POST", path, data=said, headers={"Content-Type": "application/json"})

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = requests.request(
                method, self._url + path, auth=self._identify, timeout=TIMEOUT, allow_redirects=False, **options
            )
            said = answer.json()
        except requests.JSONDecodeError:
            _fail(f"{self._url} answered {answer.status_code}, and not as Relay does: check --url")
        except (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            _fail(f"{self._url} is no address: write one such as http://127.0.0.1:9096 (see --url)", USAGE)
        except requests.exceptions.SSLError:
            _fail(f"{self._url}: no trusted TLS connection can be made: does Relay speak plain http there? See --url")
        except requests.RequestException as error:
            _fail(f"{self._url} cannot be reached ({type(error).__name__}): is Relay running there? See --url")
        if answer.status_code == 401:
            _fail(
                f"{self._url} does not know the token in {self._token_at}"
                if self._token
                else f"{self._url} wants to know who asks: set RELAY_TOKEN or --token-file to your token"
            )
        if answer.status_code != 200:
            words = str(said.get("error", answer.reason)) if isinstance(said, dict) else answer.reason
            _fail(words, USAGE if answer.status_code in _CANNOT_BE_MEANT else SERVER)
        return said

    def _identify(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Send the token, and not what a .netrc has for the host."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def as_utf8(text: str) -> str:
    """Put U+FFFD for what the command line had in another encoding: an acknowledgement is taken, whatever its note."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def read_token(token_file: Path | None) -> str:
    """Read a token from its file, or from RELAY_TOKEN. Raises `click.UsageError`."""
    place = f"the token file {token_file}" if token_file else "RELAY_TOKEN"
    try:
        token = token_file.read_text(encoding="utf-8") if token_file else os.environ.get("RELAY_TOKEN", "")
    except OSError as error:
        raise click.UsageError(f"{place} cannot be read: {error.strerror}") from None
    except ValueError:
        token = "\0"
    token = token.strip()
    if token_file and not token:
        raise click.UsageError(f"{place} is empty")
    if not token.isascii() or not token.isprintable():
        raise click.UsageError(f"{place} holds no token: there are characters in it that none has")
    return token


def _fail(words: str, code: int = SERVER) -> NoReturn:
    click.echo(printable(words), err=True)
    sys.exit(code)
