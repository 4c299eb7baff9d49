"""Rules read from files, checked, and built into couriers."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from relay.config.complaints import Complaint, Rejected, complain_at, complaints_of, in_the_file, suggest
from relay.config.document import Document
from relay.config.document import Route as Way
from relay.config.files import read_all, revision
from relay.config.secrets import SecretMissing
from relay.config.settings import Settings
from relay.engine.windows import ANNOUNCES, cannot_tell
from relay.incident import rules as incident_rules
from relay.incident.decide import Rules
from relay.incident.fallback import Fallback
from relay.incident.rules import written
from relay.integrations import Target
from relay.integrations.courier import Courier


class RuleFile(incident_rules.RuleFile):
    """A rule file with the section `targets:`, whose kinds only the integrations know."""

    targets: dict[str, Target] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules that passed every check, and the couriers of their targets."""

    rules: Rules
    targets: Mapping[str, Target]
    couriers: Mapping[str, Courier] = field(default_factory=dict)
    warnings: tuple[Complaint, ...] = ()


def load(path: Path, link_base: str = "", *, secrets: bool = True) -> Ruleset:
    """Read and check the rules of a directory. Raises `Rejected` with every mistake.

    Without `secrets`, a secret that is missing is a warning: the machine that checks is seldom the one that pages.
    """
    found, complaints = read_all(path)
    strangers = [document for document in found if _holds_settings(document)]
    complaints += [_is_no_rule_file(document) for document in strangers]
    documents = [document for document in found if document not in strangers]
    unread = {complaint.place.file for complaint in complaints} - {document.name for document in documents}
    files = [(document, _usable(document, complaints)) for document in documents]
    files = [_with_calendars(document, file, complaints) for document, file in files]
    targets = {name: target for _, file in files for name, target in file.targets.items()}
    couriers, missing = _couriers(files)
    if not unread:  # what a file says that cannot be read, nobody knows: nothing can be said to lead nowhere
        complaints += [*_fallbacks_refer(files, targets), *_announcements_refer(files, targets)]
    if complaints:
        complaints += incident_rules.mistakes(files, targets) if not unread else []
        raise Rejected([*complaints, *(missing if secrets else ())])
    try:
        joined = incident_rules.join(files, targets, revision(documents), link_base)
    except Rejected as rejected:
        raise Rejected([*rejected.complaints, *(missing if secrets else ())]) from None
    if missing and secrets:
        raise Rejected(missing)
    fallbacks = {name: Fallback(t.fallback, t.late_after) for name, t in targets.items() if t.fallback}
    rules = replace(joined, fallbacks=fallbacks)
    warnings = (*(_warning(c) for c in missing), *_of_targets(files), *_of_facts(files))
    return Ruleset(rules, targets, couriers, warnings)


def _holds_settings(document: Document) -> bool:
    keys = document.data.keys()
    return bool(keys & Settings.model_fields.keys()) and not keys & RuleFile.model_fields.keys()


def _is_no_rule_file(document: Document) -> Complaint:
    advice = f"name rules here, and put it elsewhere; check it with relay check --config {document.name}"
    return complain_at(document, (), "this is a settings file, which `relay serve --config` reads", advice)


def _usable(document: Document, complaints: list[Complaint]) -> RuleFile:
    """Read a file, and complain; what cannot be used is left out, so that the rest can be looked at all the same."""
    try:
        return RuleFile.model_validate(document.data)
    except ValidationError as invalid:
        complaints += complaints_of(document, invalid, RuleFile)
    kept = deepcopy(document.data)
    while True:
        try:
            return RuleFile.model_validate(kept)
        except ValidationError as invalid:
            ways = [e["loc"][:-1] if e["type"] == "missing" else e["loc"] for e in invalid.errors()]
        if not any([_leave_out(kept, in_the_file(document, way)) for way in ways]):
            return RuleFile()


def _leave_out(sections: Any, wrong: Way) -> bool:
    """Take away no more than what is wrong; of a list what comes after it too, so that no other item moves.

    Gives whether it was still there.
    """
    if not wrong:
        return False
    try:
        for step in wrong[:-1]:
            sections = sections[step]
        sections[wrong[-1]]
    except LookupError:
        return False
    del sections[slice(wrong[-1], None) if isinstance(sections, list) else wrong[-1]]
    return True


def _with_calendars(document: Document, file: RuleFile, complaints: list[Complaint]) -> tuple[Document, RuleFile]:
    """Read the calendar files that windows name; they lie beside the rule file."""
    windows = list(file.windows)
    for i, window in enumerate(windows):
        if window.calendar is None or not window.calendar.file:
            continue
        way = ("windows", i, "calendar", "file")
        try:
            text = Path(document.name).parent.joinpath(window.calendar.file).read_text(encoding="utf-8")
            windows[i] = window.with_calendar(text)
        except OSError as error:
            complaints.append(complain_at(document, way, f"cannot be read: {error.strerror}", "put the file there"))
        except ValueError as error:
            complaints.append(complain_at(document, way, f'"{window.calendar.file}" cannot be used', str(error)))
    return document, file.model_copy(update={"windows": tuple(windows)})


def _fallbacks_refer(files: list[tuple[Document, RuleFile]], targets: Mapping[str, Target]) -> Iterator[Complaint]:
    """Complain about a fallback that is no target, or that leads back to the target it stands in for."""
    known = written(files, "targets")
    for document, file in files:
        for name, target in file.targets.items():
            way = ("targets", name, "fallback")
            if target.fallback and target.fallback not in known:
                advice = suggest(target.fallback, known)
                yield complain_at(document, way, f'there is no target "{target.fallback}"', advice)
            elif name in _chain(target.fallback, targets):
                yield complain_at(document, way, "this fallback leads back here", "let the last one have no fallback")


def _announcements_refer(files: list[tuple[Document, RuleFile]], targets: Mapping[str, Target]) -> Iterator[Complaint]:
    """Complain about announcements through what can only ring."""
    for document, file in files:
        for i, window in enumerate(file.windows):
            for j, name in enumerate(window.announce.to if window.announce else ()):
                if name in targets and targets[name].type not in ANNOUNCES:
                    way = ("windows", i, "announce", "to", j)
                    problem = cannot_tell(name, targets[name].type)
                    yield complain_at(document, way, problem, f"write a target of the type {' or '.join(ANNOUNCES)}")


def _chain(name: str, targets: Mapping[str, Target]) -> list[str]:
    chain: list[str] = []
    while name in targets and name not in chain:
        chain.append(name)
        name = targets[name].fallback
    return chain


def _couriers(files: list[tuple[Document, RuleFile]]) -> tuple[dict[str, Courier], list[Complaint]]:
    couriers: dict[str, Courier] = {}
    missing = []
    for document, file in files:
        for name, target in file.targets.items():
            try:
                couriers[name] = target.courier()
            except SecretMissing as error:
                missing.append(complain_at(document, ("targets", name), str(error), "put the secret there", key=True))
    return couriers, missing


def _of_targets(files: list[tuple[Document, RuleFile]]) -> list[Complaint]:
    return [
        _warning(complain_at(document, ("targets", name), f'target "{name}"', text, key=True))
        for document, file in files
        for name, target in file.targets.items()
        for text in target.warnings()
    ]


def _of_facts(files: list[tuple[Document, RuleFile]]) -> list[Complaint]:
    advice = "mind the spelling; a Prometheus that is newer than Relay's parser may know it"
    return [
        _warning(complain_at(document, ("facts", name, "promql"), f'unknown function "{function}"', advice))
        for document, file in files
        for name, fact in file.facts.items()
        if (function := fact.unknown_function())
    ]


def _warning(complaint: Complaint) -> Complaint:
    return Complaint(complaint.place, complaint.problem, complaint.advice, complaint.line, warning=True)
