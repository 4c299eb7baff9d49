"""An address that a rule file names instead of a vendor's own."""

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from yarl import URL


def _address(text: str) -> str:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    blank = any(c.isspace() or not c.isprintable() for c in text)
    if url.scheme not in ("http", "https") or not url.host or url.port == 0 or blank:
        raise ValueError("write an address such as https://proxy.example.com")
    if url.user or url.password or url.query_string or url.fragment:
        raise ValueError("write the address without a user, a password, a query or a fragment")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "uri"})]
"""The http or https address of an API, without a slash at its end and with nothing secret in it."""
