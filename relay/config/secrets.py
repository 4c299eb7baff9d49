"""Secrets: read from a file or the environment, never from a rule file."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from relay.config.trouble import Trouble


def one_place_each(section: BaseModel, needs: str = "") -> None:
    """Refuse a secret for which both a file and a variable are named, or neither where the section `needs` it.

    Raises ValueError.
    """
    for name in secrets_of(section):
        named = [getattr(section, f"{name}{where}", None) is not None for where in ("_file", "_env")]
        if all(named) or (name == needs and not any(named)):
            raise ValueError(f'write either "{name}_file" or "{name}_env"')


def secrets_of(section: BaseModel) -> list[str]:
    """Names of secrets, of which a file or a variable can be named."""
    return [name.removesuffix("_file") for name in type(section).model_fields if name.endswith("_file")]


class SecretMissing(Trouble):
    """The secret is not where the configuration says. The message names the place, never a value."""


def read_secret(file: str | None, env: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Give the secret that a `*_file` or `*_env` setting names, without the line break at its end.

    Raises `SecretMissing` when neither is set, the file cannot be read, or what is there is empty.
    """
    if file is not None:
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text, or not a file's name"
            raise SecretMissing(f"the secret file {file} cannot be read: {reason}") from None
        place = f"the secret file {file}"
    elif env is not None:
        value, place = environ.get(env, "").strip(), f"the environment variable {env}"
    else:
        raise SecretMissing("no secret is named: write a *_file or *_env key")
    if not value:
        raise SecretMissing(f"{place} is empty or not set")
    return value
