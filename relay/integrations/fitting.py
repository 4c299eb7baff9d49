"""Fitting texts and keys into what a vendor takes. Pure; nothing here raises for any text.

Limits are in UTF-16 units: that is how Java counts, and whoever counts code points counts no more than that.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

Body = TypeVar("Body")

ELLIPSIS = "…"
_JOINER = "\u200d"
_LONGEST_CLUSTER = 32
"""Code points by which a cut may move back to spare what a reader sees as one character; then it is cut anyway."""


def length(text: str) -> int:
    """Count the UTF-16 units of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` units, the last a "…"; accents, emoji sequences and flags are not cut in two."""
    if 2 * len(text) <= limit or length(text) <= limit:  # a code point takes two units at most
        return text
    if limit < 1:
        return ""
    end = _end(text, limit - 1)
    for candidate in range(end, max(end - _LONGEST_CLUSTER, 0), -1):
        if not _within_a_character(text, candidate):
            end = candidate
            break
    return text[:end] + ELLIPSIS


def one_line(text: str) -> str:
    """Put a text on one line, of printable characters alone: a lone surrogate cannot be kept, nor NUL by PostgreSQL."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut_lines(lines: Sequence[str], most: int, longest: int) -> list[str]:
    """Keep the first `most` lines, each of at most `longest` units, and say how many more there were."""
    kept = [cut(line, longest) for line in lines[:most]]
    return kept if len(lines) <= most else [*kept, f"{ELLIPSIS} and {len(lines) - most} more"]


def cut_pairs(pairs: Mapping[str, str], most: int, longest: int) -> dict[str, str]:
    """Keep the first `most` pairs, names and values of at most `longest` units, and say how many more there were."""
    kept = {cut(name, longest): cut(value, longest) for name, value in list(pairs.items())[:most]}
    return kept if len(pairs) <= most else {**kept, ELLIPSIS: f"and {len(pairs) - most} more"}


def fold_key(key: str, limit: int) -> str:
    """Shorten a key that is too long: its beginning, then the SHA-256 of the whole, so that it is always the same."""
    if length(key) <= limit:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key[: _end(key, limit - len(digest) - 1)]}~{digest}"


def first_fit(bodies: Iterable[Body], size: Callable[[Body], int], budget: int) -> Body:
    """Give the first of ever smaller bodies whose size is within the budget; the last one if none is.

    `bodies` must hold one at least.
    """
    for body in bodies:
        if size(body) <= budget:
            break
    return body


def _end(text: str, limit: int) -> int:
    """Say how many code points from the beginning take at most `limit` units."""
    end = min(len(text), limit)
    while (excess := length(text[:end]) - limit) > 0:
        end -= max(excess // 2, 1)  # a code point takes two units at most
    return end


def _within_a_character(text: str, at: int) -> bool:
    """Say whether a cut before `text[at]` would cut a character that a reader sees as one."""
    after = text[at]
    if unicodedata.category(after) in ("Mn", "Mc", "Me") or after == _JOINER or text[at - 1] == _JOINER:
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # a skin colour
        return True
    return _is_flag_half(after) and _flag_halves_before(text, at) % 2 == 1


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, at: int) -> int:
    start = at
    while start > 0 and at - start < 2 * _LONGEST_CLUSTER and _is_flag_half(text[start - 1]):
        start -= 1
    return at - start
