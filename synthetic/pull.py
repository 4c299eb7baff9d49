"""Probe files pulled from Relay, for workers that have none of their own: kept on disk, so that Relay may be down."""

import asyncio
import json
import tempfile
from pathlib import Path, PurePosixPath

import aiohttp

from relay.config.complaints import Rejected
from synthetic.answers import TooLong, read
from synthetic.checks import load

TIMEOUT = 20.0
EVERY = 60.0
"""Seconds between two questions whether they have changed."""
MOST_BYTES = 32 * 1024 * 1024


MARK = ".pulled-from-relay"
"""A file that says that a directory is ours to change."""


class NotPulled(Exception):
    """The files cannot be had. The message says why."""


class Unusable(NotPulled):
    """The files are there, and no probe files that can be used. `etag` names them."""

    def __init__(self, text: str, etag: str) -> None:
        super().__init__(text)
        self.etag = etag


async def pull(url: str, token: str, etag: str, into: Path, session: aiohttp.ClientSession) -> str:
    """Ask for the files, unless they are those of the etag; gives theirs. Raises `NotPulled`, and then nothing changes.

    The files take the place of all that was in the directory.
    """
    headers = {"Authorization": f"Bearer {token}", **({"If-None-Match": f'"{etag}"'} if etag else {})}
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            session.get(f"{url.rstrip('/')}/api/v1/probes", headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status == 304:
                return etag
            if answer.status != 200:
                raise NotPulled(f"Relay answers {answer.status}: is the token one of a viewer?")
            body = await read(answer, MOST_BYTES)
            fresh = (answer.headers.get("ETag") or "").strip('"')
    except TooLong as error:
        raise NotPulled(f"Relay answers with {error}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotPulled(f"Relay cannot be asked ({type(error).__name__})") from None
    try:
        files = {_name(name): str(text) for name, text in json.loads(body)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotPulled("what is answered are no probe files: is Relay there?") from None
    await asyncio.to_thread(_keep, files, into, fresh)
    return fresh


def _name(name: str) -> PurePosixPath:
    """A path below the directory. Raises ValueError for one that leads out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.suffix not in (".yaml", ".yml"):
        raise ValueError("no name of a probe file")
    return path


def was_pulled(directory: Path) -> bool:
    """Whether what is in a directory came from Relay."""
    return (directory / MARK).exists()


def _keep(files: dict[PurePosixPath, str], into: Path, etag: str) -> None:
    """Put files in the place of those that were there, each whole or not at all. Raises `Unusable` before that."""
    into.mkdir(parents=True, exist_ok=True)
    if not was_pulled(into) and any(into.rglob("*.y*ml")):
        raise NotPulled(f"{into} holds files of its own, which would be lost: name an empty directory with --rules")
    with tempfile.TemporaryDirectory(prefix=".new-", dir=into) as beside:  # hidden: it is not read by mistake
        for name, text in files.items():
            place = Path(beside, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        try:
            load(Path(beside))
        except Rejected as rejected:
            said = str(rejected).replace(f"{beside}/", "")
            raise Unusable(f"what Relay has cannot be used:\n{said}", etag) from None
        (into / MARK).touch()
        for name in files:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            Path(beside, name).replace(into / name)
    for old in into.rglob("*.y*ml"):
        if PurePosixPath(old.relative_to(into).as_posix()) not in files:
            old.unlink()
