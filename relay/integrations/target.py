"""What every kind of target has in common: how much it takes, and what stands in for it."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from relay.config.types import Duration, Section, at_least


class TargetSettings(Section):
    """Keys of every entry in `targets:`."""

    per_minute: int = Field(default=120, ge=0, le=1_000_000)
    """Messages a minute that it is sent at most, half of them at once; 0 for no limit. Some are several requests."""
    fallback: str = ""
    """The target that is paged as well when this one does not take a page in, or refuses it."""
    late_after: Annotated[Duration, at_least(timedelta(seconds=1))] = timedelta(minutes=1)
    """How long this target has to take a page in, before the fallback is paged."""
