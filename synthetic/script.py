"""The values that the steps of one run know, and how they are written into a step's texts."""

import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any
from urllib.parse import quote

from synthetic.run import Failed, Run
from synthetic.secrets import secret

LONG = 8
"""Characters from which on a captured value is taken for one that a log must not show."""


class Scope:
    """Variables, secrets, and what was captured. Raises `Failed` for a secret that cannot be read."""

    def __init__(self, variables: Mapping[str, str], secrets: Mapping[str, str], run: Run) -> None:
        self._run = run
        self._values: dict[str, Any] = dict(variables)
        for name, file in secrets.items():
            self._values[name] = secret(file)
            run.hide(self._values[name], name)

    def capture(self, name: str, value: Any) -> None:
        """Keep what was found in an answer; a long value is hidden in logs, as it may be a token. Raises `Failed`."""
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # JSON can hold halves of letters, and nothing else can
            raise Failed("assertion", f"what is there to capture {name} from is no text") from None
        self._values[name] = value
        if len(written := _write(value)) >= LONG:
            self._run.hide(written, name)

    def has(self, texts: Sequence[str]) -> bool:
        """Whether everything that texts name is there."""
        return all(self._values.keys() >= set(Template(text).get_identifiers()) for text in texts)

    def fill(self, text: str) -> str:
        """A text with the values in the place of their names."""
        return Template(text).substitute({name: _write(value) for name, value in self._values.items()})

    def fill_path(self, text: str) -> str:
        """A path with the values percent-encoded: none can lead elsewhere. One that stands alone stays as it is."""
        if names := Template(text).get_identifiers():
            if _alone(text):
                return _write(self._values[names[0]])
            return Template(text).substitute({name: quote(_write(self._values[name]), safe="") for name in names})
        return self.fill(text)

    def fill_all(self, document: Any) -> Any:
        """A document with the values in all of its texts; one that stands alone stays the number, say, that it is."""
        if isinstance(document, str):
            return self._values[_alone(document)] if _alone(document) else self.fill(document)
        if isinstance(document, Mapping):
            return {key: self.fill_all(value) for key, value in document.items()}
        if isinstance(document, Sequence):
            return [self.fill_all(value) for value in document]
        return document


def _alone(text: str) -> str:
    """The name of the value that a text is, when it is nothing else."""
    names = Template(text).get_identifiers()
    return names[0] if len(names) == 1 and text in (f"${{{names[0]}}}", f"${names[0]}") else ""


def _write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
