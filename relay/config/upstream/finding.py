"""One thing that is wrong upstream, by its way in the file."""

from dataclasses import dataclass

from relay.config.complaints import Complaint, complain_at
from relay.config.document import Document
from relay.config.document import Route as Way


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong and what to write. A warning is a risk; anything else loses alerts, or Alertmanager refuses it."""

    way: Way
    problem: str
    advice: str
    warning: bool = False
    key: bool = False

    def at(self, document: Document) -> Complaint:
        """Say it at its place."""
        found = complain_at(document, self.way, self.problem, self.advice, key=self.key)
        return Complaint(found.place, found.problem, found.advice, found.line, self.warning)
