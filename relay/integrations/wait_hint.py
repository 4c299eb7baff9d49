"""How long a vendor asks us to wait, in any of the ways in which vendors say it."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST_WAIT = timedelta(minutes=15)
"""A page is worth an early try more than a vendor's patience is."""

_ONLY_WHEN_THROTTLED = ("ratelimit-reset", "x-ratelimit-period-in-sec", "x-ratelimit-reset")
"""Some vendors send these with every answer: with a server error they tell of a window that does not matter."""
_EPOCH_MILLISECONDS, _EPOCH_SECONDS = 1e11, 1e9
"""Numbers this large are no spans: seconds since 1970 passed 10⁹ in 2001, milliseconds pass 10¹¹ in 1973."""


def wait_hint(status: int, headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read the hint of a refusal; between nothing and 15 minutes, None if there is none that can be read.

    Shapes: `Retry-After` in seconds, as an HTTP date (RFC 9110) or in ISO 8601 (Zoom); `ratelimit-reset` in seconds
    (PagerDuty); `X-RateLimit-Period-In-Sec` (Opsgenie); `X-RateLimit-Reset` as seconds (GitHub, Zoom) or
    milliseconds (LaunchDarkly) since 1970, or in ISO 8601, even without seconds (Jira).
    """
    told = {name.lower(): value.strip() for name, value in headers.items()}
    for name in ("retry-after", *(_ONLY_WHEN_THROTTLED if status < 500 else ())):
        if (wait := _read(told.get(name, ""), now)) is not None:
            return min(max(wait, timedelta()), LONGEST_WAIT)
    return None


def _read(text: str, now: datetime) -> timedelta | None:
    try:
        number = float(text)
    except ValueError:
        moment = _moment(text)
        return None if moment is None else moment - now
    if not math.isfinite(number):
        return None
    if number >= _EPOCH_SECONDS:
        number = (number / 1000 if number >= _EPOCH_MILLISECONDS else number) - now.timestamp()
    return timedelta(seconds=min(number, LONGEST_WAIT.total_seconds()) if number > 0 else 0)


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
