"""Texts as Go reads them, in which blackbox_exporter's configuration is written, and as probe files have them."""

import re
from typing import Any

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTPE]?)i?B?", re.ASCII)
_NAMED = re.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))", re.ASCII)


def read_duration(text: Any) -> float | None:
    """Seconds of `1m30s` or `1.5s` (https://pkg.go.dev/time#ParseDuration); None for what is none."""
    parts = _PART.findall(str(text))
    if "".join(number + unit for number, unit in parts) != str(text) or not parts:
        return 0.0 if str(text) == "0" else None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def write_duration(seconds: float) -> str:
    """A duration as probe files have it, in whole milliseconds."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def read_size(text: Any) -> int | None:
    """Bytes of `10MB` or `1.5KiB`, which are the same kind of unit (alecthomas/units); None for what is none."""
    found = _SIZE.fullmatch(str(text))
    if not found:
        return None
    return int(float(found[1]) * 1024 ** ("KMGTPE".index(found[2]) + 1 if found[2] else 0))


def expand(text: str, expression: Any) -> str:
    """A template over the groups of an expression (https://pkg.go.dev/regexp#Regexp.Expand) in our own writing.

    To Go, a group that is not there is empty, and a dollar sign before anything else is just that.
    """
    known = {*map(str, range(expression.groups + 1)), *expression.groupindex}
    written, end = [], 0
    for found in _NAMED.finditer(text):
        name = found[1] or found[2]
        written.append(literal(text[end : found.start()]))
        written.append("$$" if found[3] else f"${{{name}}}" if name in known else "")
        end = found.end()
    return "".join((*written, literal(text[end:])))


def literal(text: str) -> str:
    """A text in which nothing is named."""
    return text.replace("$", "$$")
