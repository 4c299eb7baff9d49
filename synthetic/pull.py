"""Probe files pulled from Relay, for workers that have none of their own: kept on disk, so that Relay may be down."""

import asyncio
import json
import tempfile
from pathlib import Path, PurePosixPath

import aiohttp

TIMEOUT = 20.0
EVERY = 60.0
"""Seconds between two questions whether they have changed."""
MOST_BYTES = 32 * 1024 * 1024


MARK = ".pulled-from-relay"
"""A file that says that a directory is ours to change."""


class NotPulled(Exception):
    """The files cannot be had. The message says why."""


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
            if (answer.content_length or 0) > MOST_BYTES:
                raise NotPulled(f"Relay answers with more than {MOST_BYTES} bytes")
            body = await answer.read()
            fresh = (answer.headers.get("ETag") or "").strip('"')
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotPulled(f"Relay cannot be asked ({type(error).__name__})") from None
    try:
        files = {_name(name): str(text) for name, text in json.loads(body)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotPulled("what is answered are no probe files: is Relay there?") from None
    await asyncio.to_thread(_keep, files, into)
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


def _keep(files: dict[PurePosixPath, str], into: Path) -> None:
    """Put files in the place of those that were there, each whole or not at all."""
    into.mkdir(parents=True, exist_ok=True)
    if not was_pulled(into) and any(into.rglob("*.y*ml")):
        raise NotPulled(f"{into} holds files of its own, which would be lost: name an empty directory with --rules")
    (into / MARK).touch()
    for name, text in files.items():
        place = into / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, suffix=".new", delete=False) as new:
            new.write(text)
        Path(new.name).replace(place)
    for old in into.rglob("*.y*ml"):
        if PurePosixPath(old.relative_to(into).as_posix()) not in files:
            old.unlink()
