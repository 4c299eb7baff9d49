"""One module for each outside system: its settings, and a courier that speaks its wire contract."""

from typing import Annotated

from pydantic import Field

from relay.integrations.opsgenie import OpsgenieTarget
from relay.integrations.pagerduty import PagerDutyTarget

TARGETS = (PagerDutyTarget, OpsgenieTarget)
"""The kinds of target that a rule file may name, by their `type`."""

Target = Annotated[PagerDutyTarget | OpsgenieTarget, Field(discriminator="type")]
