"""Secrets of checks: read when they are needed, so that a new one counts at once."""

from relay.config.secrets import SecretMissing, read_secret
from synthetic.run import Failed


def secret(file: str) -> str:
    """Read a secret. Raises `Failed`; the message names the file alone."""
    try:
        return read_secret(file, None)
    except SecretMissing as error:
        raise Failed("credentials", str(error)) from None
