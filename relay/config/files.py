"""Finding and reading the rule files of a directory."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from relay.config.complaints import Complaint, Rejected, unreadable
from relay.config.document import Document, Place, Unreadable, read

MOST_BYTES = 8 * 1024 * 1024


def rule_files(path: Path) -> list[Path]:
    """Every `.yaml` and `.yml` file below a directory, or the one file, in the order of their names.

    Left out are hidden files and Kubernetes' `..data` copies, what Prometheus reads (`*.rules.yml`, a folder called
    `prometheus` or `probes`), and tests (`*_test.yaml`).
    """
    if path.is_file():
        return [path]
    found = [p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file()]
    return sorted(p for p in found if _is_rule(p.relative_to(path)))


def _is_rule(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts) or {"prometheus", "probes"} & set(path.parts[:-1]):
        return False
    return not path.name.endswith((".rules.yml", ".rules.yaml", "_test.yaml", "_test.yml"))


def read_all(path: Path) -> tuple[list[Document], list[Complaint]]:
    """Read every rule file; gives the readable ones, and complaints about the others. Raises `Rejected` without any."""
    files = rule_files(path)
    if not files:
        what = "there is no such file or directory" if not path.exists() else "there is no .yaml file in it"
        raise Rejected([Complaint(Place(str(path), 1), what, "name a directory that holds rule files")])
    documents, complaints = [], []
    for file in files:
        try:
            if file.stat().st_size > MOST_BYTES:
                problem = f"is larger than {MOST_BYTES // 1024 // 1024} MiB"
                raise Unreadable(problem, Place(str(file), 1), advice="cut it into several files")
            document = read(file)
            if not isinstance(document.data, dict):
                raise Unreadable("a rule file is a mapping of sections", Place(str(file), 1), advice="write sections")
            documents.append(document)
        except OSError as error:  # it went away since it was listed
            problem = f"cannot be read: {error.strerror}"
            complaints += unreadable(Unreadable(problem, Place(str(file), 1), advice="put it back, or let it be read"))
        except Unreadable as error:
            complaints += unreadable(error)
            if error.document and isinstance(error.document.data, dict):
                documents.append(error.document)
    return documents, complaints


def revision(documents: Sequence[Document]) -> str:
    """Name the rules by their text: 12 hex digits that change when any file does."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update("\n".join((document.name, *document.lines, "\0")).encode())
    return digest.hexdigest()[:12]
