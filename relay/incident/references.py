"""Names in rule files that refer to something: they must be known."""

from collections.abc import Iterable
from dataclasses import dataclass

from relay.config.complaints import Complaint, complain_at, suggest
from relay.config.document import Document
from relay.config.document import Route as Way


@dataclass(frozen=True, slots=True)
class Refer:
    """Complains about references of one document that lead nowhere."""

    document: Document

    def check(self, way: Way, name: str, known: Iterable[str], kind: str, *, key: bool = False) -> Iterable[Complaint]:
        """Complain unless the name is known; `way` leads to where it is written."""
        if name not in known:
            yield complain_at(self.document, way, f'there is no {kind} "{name}"', suggest(name, known), key=key)
