"""Secrets of checks: read when they are needed, so that a new one counts at once."""

from relay.config.secrets import SecretMissing, read_secret
from synthetic.run import Failed


def secret(file: str) -> str:
    """Read a secret. Raises `Failed`; the message names the file alone."""
    try:
        return read_secret(file, None)
    except SecretMissing as error:
        raise Failed("credentials", str(error)) from None


def header_secret(file: str) -> str:
    """Read a secret that a header is to hold. Raises `Failed`; the message names the file alone."""
    value = secret(file)
    if not value.isascii() or not value.isprintable():
        raise Failed("credentials", f"the secret file {file} cannot be a header: write one line of ASCII into it")
    return value
