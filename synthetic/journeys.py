"""What can be written about what a user does in several steps: over HTTP (`journey`), and in a browser (`browser`).

Texts of steps name values as `${name}`: variables, secrets (files), and what earlier steps have captured.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from string import Template
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from relay.config.types import Duration, Section, at_least, at_most, spell_exactly
from synthetic.kinds import HttpKeys, IpProtocol, Name, OneRegex, Timeout, Tls

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
MOST_STEPS = 100
Pixels = Annotated[int, Field(ge=100, le=10000)]


class Capture(Section):
    """Where in an answer a value is found: exactly one of its keys."""

    json_: Annotated[str, Field(min_length=1)] | None = Field(default=None, alias="json")
    body: OneRegex | None = None
    """The first group, or all that matches."""
    header: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Capture":
        if len(self.model_fields_set) != 1:
            raise ValueError("write one of json, body and header")
        return self


class Step(HttpKeys):
    """One request of a journey: the keys of `http`, and what is taken from its answer."""

    kind: Literal["http"] = "http"
    name: Name
    path: str = ""
    """Where below the target; a path that is one `${name}` alone may be a URL of the target's own."""
    body_json: Any = None
    body_form: dict[str, str] = {}  # noqa: RUF012
    capture: dict[VariableName, Capture] = {}  # noqa: RUF012

    @model_validator(mode="after")
    def _one_body(self) -> "Step":
        if len({"body", "body_json", "body_form"} & self.model_fields_set) > 1:
            raise ValueError("write one of body, body_json and body_form")
        return self

    def texts(self) -> Iterator[str]:
        """Every text in which values may be named."""
        yield from (self.path, self.body, *self.headers.values(), *self.body_form.values())
        yield from texts_in(self.body_json)
        yield from (one.equals for one in self.json_ if isinstance(one.equals, str))


class JourneyKeys(Section):
    """Requests that follow each other as a user's do: cookies are kept, and what is captured is used later."""

    kind: Literal["journey"]
    timeout: Timeout = timedelta(seconds=20)
    """All of it, the clean-up included."""
    ip_protocol: IpProtocol = "any"
    tls: Tls = Tls()
    variables: dict[VariableName, str] = {}  # noqa: RUF012
    secrets: dict[VariableName, str] = {}  # noqa: RUF012
    """Name to the file that holds it."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MOST_STEPS)]
    clean_up: Annotated[tuple[Step, ...], Field(max_length=MOST_STEPS)] = ()
    """Run whatever came before; those that need what was not captured are left out."""
    clean_up_timeout: Annotated[Duration, at_least(timedelta(milliseconds=1)), at_most(timedelta(minutes=5))] = (
        timedelta(seconds=5)
    )

    @model_validator(mode="after")
    def _possible(self) -> "JourneyKeys":
        _distinct([*self.steps, *self.clean_up])
        known = _given(self.variables, self.secrets)
        for step in (*self.steps, *self.clean_up):
            _known(step.name, step.texts(), known)
            if taken := known & step.capture.keys():
                raise ValueError(f"the step {step.name} captures {min(taken)}, which is there already: rename one")
            known |= step.capture.keys()
        if self.clean_up and self.clean_up_timeout >= self.timeout:
            part = f"clean_up_timeout ({spell_exactly(self.clean_up_timeout)})"
            raise ValueError(f"write a timeout of more than {part}, which is a part of it")
        return self


class BrowserStep(Section):
    """One thing that a user does or sees: a name, and exactly one of the others; `with` for fill and select."""

    name: Name
    goto: str | None = None
    click: str | None = None
    fill: str | None = None
    select: str | None = None
    press: str | None = None
    see: str | None = None
    gone: str | None = None
    with_: str | None = Field(default=None, alias="with")

    @model_validator(mode="after")
    def _one_action(self) -> "BrowserStep":
        actions = self.model_fields_set - {"name", "with_"}
        if len(actions) != 1:
            raise ValueError("write one of goto, click, fill, select, press, see and gone in each step")
        if (self.with_ is not None) != bool(actions & {"fill", "select"}):
            raise ValueError('write "with" in steps that fill or select, and only there')
        return self

    @property
    def action(self) -> tuple[str, str]:
        """What is done, and to what."""
        return next(
            (name, value)
            for name in ("goto", "click", "fill", "select", "press", "see", "gone")
            if (value := getattr(self, name)) is not None
        )

    def texts(self) -> Iterator[str]:
        """Every text in which values may be named."""
        yield self.action[1]
        yield self.with_ or ""


class Viewport(Section):
    """How large the page is, in CSS pixels."""

    width: Pixels = 1280
    height: Pixels = 800


class BrowserKeys(Section):
    """What a user does in Chromium, each time with a fresh profile; a failure leaves a screenshot."""

    kind: Literal["browser"]
    timeout: Timeout = timedelta(seconds=30)
    verify_certificates: bool = True
    viewport: Viewport = Viewport()
    page_errors: Literal["ignore", "fail"] = "ignore"
    """What an exception that a script of the page does not catch means."""
    variables: dict[VariableName, str] = {}  # noqa: RUF012
    secrets: dict[VariableName, str] = {}  # noqa: RUF012
    steps: Annotated[tuple[BrowserStep, ...], Field(max_length=MOST_STEPS)] = ()
    """What is done after the target was opened."""

    @model_validator(mode="after")
    def _possible(self) -> "BrowserKeys":
        _distinct(self.steps)
        known = _given(self.variables, self.secrets)
        for step in self.steps:
            _known(step.name, step.texts(), known)
        return self


def texts_in(document: Any) -> Iterator[str]:
    """Every text in a document, keys left out."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, Mapping):
        for value in document.values():
            yield from texts_in(value)
    elif isinstance(document, Sequence):
        for value in document:
            yield from texts_in(value)


def _given(variables: Mapping[str, str], secrets: Mapping[str, str]) -> set[str]:
    if both := variables.keys() & secrets.keys():
        raise ValueError(f"{min(both)} is a variable and a secret: give one of them another name")
    return {*variables, *secrets}


def _distinct(steps: Sequence[Step | BrowserStep]) -> None:
    names = [step.name for step in steps]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two steps have the name {twice[0]}: give each a name of its own")


def _known(step: str, texts: Iterable[str], known: set[str]) -> None:
    for text in texts:
        if not Template(text).is_valid():
            raise ValueError(f"in the step {step}: write values as ${{name}}, and $$ for a dollar sign")
        for name in Template(text).get_identifiers():
            if name not in known:
                told = ", ".join(sorted(known)) or "none"
                raise ValueError(f"in the step {step}: nothing is called ${{{name}}} by then; there is: {told}")
