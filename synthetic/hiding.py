"""Hiding secrets in texts that others have written: servers, browsers, libraries."""

import base64
import html
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from synthetic.targets import SAFE

_LEAST_BASE64 = 6
"""Characters of base64 below which it may be anything."""


def hide(values: Mapping[str, str], text: str) -> str:
    """A text with names in the place of values (value to name), however these are encoded.

    A text that still shows one of them when it is decoded, because only a part of it was encoded, is left out.
    """
    for value in sorted(values, key=len, reverse=True):
        for form in _forms(value):
            text = text.replace(form, f"${{{values[value]}}}")
    decoded = _decoded(text) if values and any(character in text for character in "%+\\") else []
    for value, name in values.items():
        bare = value.replace("\\", "")
        if any(value in one or (bare and bare in one) for one in decoded):
            return f"(left out, as it shows ${{{name}}})"
    return text


@lru_cache(maxsize=1024)
def _forms(value: str) -> tuple[str, ...]:
    """A value as it is, percent-encoded, escaped as in JSON, Python and HTML, and in base64; the longest first."""
    raw = value.encode("utf-8", "surrogatepass")
    percent = {quote(raw, safe=""), quote(raw), quote(raw, safe=SAFE), quote_plus(raw)}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1], repr(raw)[2:-1]}
    others = {value, html.escape(value), *_in_base64(raw)}
    return tuple(sorted(filter(None, percent | set(map(_small, percent)) | escaped | others), key=len, reverse=True))


def _small(percent: str) -> str:
    """The same with the digits of what is percent-encoded in small letters."""
    first, *others = percent.split("%")
    return "%".join([first, *(one[:2].lower() + one[2:] for one in others)])


def _in_base64(raw: bytes) -> Iterator[str]:
    """What is sure of the base64 of a text with the value in it, wherever it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode()
        sure = whole[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        if len(sure) >= _LEAST_BASE64:
            yield from (sure, sure.translate({ord("+"): "-", ord("/"): "_"}))


def _decoded(text: str) -> list[str]:
    """What may be meant by a text that is encoded in part."""
    meant = [unquote(text), unquote(unquote(text)), unquote_plus(text)]
    return [*meant, *(one.replace("\\", "") for one in meant)]
