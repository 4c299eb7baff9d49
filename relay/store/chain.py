"""The hash chain of a timeline: it shows whether an entry was changed, removed or put in between.

The chain covers a salted commitment to each entry's body and not the body itself, so that a body can be removed by
law and the chain still verifies; without the salt a short body could be guessed from its commitment.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

FIRST = b""
"""What the first entry follows."""


@dataclass(frozen=True, slots=True)
class Link:
    """One entry's part in the chain; `body` and `salt` are None when they were removed."""

    incident: str
    seq: int
    occurred_at: datetime
    recorded_at: datetime
    kind: str
    actor: str
    body: str | None
    salt: bytes | None
    commitment: bytes
    hash: bytes


def commit(salt: bytes, body: str) -> bytes:
    """SHA-256 of the salt and the body, 32 bytes."""
    return hashlib.sha256(salt + body.encode()).digest()


def seal(
    head: bytes,
    incident: str,
    seq: int,
    occurred_at: datetime,
    recorded_at: datetime,
    kind: str,
    actor: str,
    commitment: bytes,
) -> bytes:
    """SHA-256 over the entry before, this entry's header and its commitment, 32 bytes."""
    header = (
        f"{incident}\x1f{seq}\x1f{occurred_at.timestamp():.6f}\x1f{recorded_at.timestamp():.6f}\x1f{kind}\x1f{actor}"
    )
    return hashlib.sha256(head + header.encode() + b"\x00" + commitment).digest()


def verify(links: Iterable[Link], head: bytes, count: int) -> list[str]:
    """Say what is wrong with a timeline, given the head and length its incident remembers; empty when all is well."""
    problems = []
    before, seq = FIRST, 0
    for link in links:
        seq += 1
        if link.seq != seq:
            problems.append(f"entry {seq} is missing: the next one is {link.seq}")
            seq = link.seq
        if link.body is not None and link.salt is not None and commit(link.salt, link.body) != link.commitment:
            problems.append(f"entry {link.seq} ({link.kind}): its body was changed")
        sealed = seal(
            before, link.incident, link.seq, link.occurred_at, link.recorded_at, link.kind, link.actor, link.commitment
        )
        if sealed != link.hash:
            problems.append(f"entry {link.seq} ({link.kind}): it does not follow the entry before")
        before = link.hash
    if not problems and (seq != count or before != head):
        problems.append(
            f"the timeline ends with entry {seq}, and the incident remembers {count}: its end was cut or changed"
        )
    return problems
