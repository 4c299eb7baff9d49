"""Secrets are hidden however others write them."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from synthetic.hiding import hide
from synthetic.run import Run
from synthetic.targets import read_url

SECRETS = ["p@ss word/1", 'pa"ss &wörd\\x', "a\\\\b'c%41", "💩 ü<>+", "one\ttwo\nthree", "plain-enough_1.2"]
ENCODINGS = {
    "as it is": str,
    "in a path": lambda value: quote(value, safe=""),
    "in a URL": lambda value: str(read_url(f"http://h/ok?u={value}")).partition("=")[2],
    "in a form": quote_plus,
    "in small letters": lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    "twice": lambda value: quote(quote(value)),
    "in part": lambda value: "".join(f"%{ord(c):02X}" if i % 2 and c.isascii() else c for i, c in enumerate(value)),
    "in JSON": json.dumps,
    "in JSON with all letters": lambda value: json.dumps(value, ensure_ascii=False),
    "in JSON as PHP writes it": lambda value: json.dumps(value).replace("/", "\\/"),
    "in Python": repr,
    "in Python's bytes": lambda value: repr(value.encode()),
    "in HTML": html.escape,
    "in base64": lambda value: base64.b64encode(value.encode()).decode(),
    "in base64 with a name": lambda value: base64.b64encode(f"me:{value}".encode()).decode(),
    "in base64 for URLs": lambda value: base64.urlsafe_b64encode(f"user:{value}:more".encode()).decode(),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_hidden(secret, encoding):
    if encoding == "in a URL" and "\n" in secret:
        return  # a URL has none
    run = Run()
    run.hide(secret, "password")
    text = f"led to {ENCODINGS[encoding](secret)} and on"
    assert "${password}" in run.redact(text)
    if encoding not in ("in part", "twice", "in JSON as PHP writes it"):
        assert run.redact(text).startswith("led to ")
        assert run.redact(text).endswith(" and on")


def test_what_is_not_secret_stays():
    text = "GET /ok?u=100%25&v=a+b: 'c\\d' eHh4JTQxJXl5"
    assert hide({"s3cret": "password"}, text) == text
    assert hide({}, text) == text


def test_the_longer_one_of_two_secrets_is_hidden_first():
    assert hide({"abc": "a", "abcdef": "b"}, "abcdef, abc") == "${b}, ${a}"
