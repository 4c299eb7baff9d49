"""One module for each outside system: its settings, and a courier that speaks its wire contract."""

from typing import Annotated

from pydantic import Field

from relay.integrations.email import EmailTarget
from relay.integrations.opsgenie import OpsgenieTarget
from relay.integrations.pagerduty import PagerDutyTarget
from relay.integrations.webhook import WebhookTarget

TARGETS = (PagerDutyTarget, OpsgenieTarget, EmailTarget, WebhookTarget)
"""The kinds of target that a rule file may name, by their `type`."""

Target = Annotated[PagerDutyTarget | OpsgenieTarget | EmailTarget | WebhookTarget, Field(discriminator="type")]
