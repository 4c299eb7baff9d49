"""E-mail over SMTP: rings nobody by itself, and arrives when all else is down. Good as a fallback.

Contract: RFC 5321 (4xx is "not now", 5xx is "never"), RFC 5322 (one thread for each page), RFC 3834 (Auto-Submitted).
"""

import asyncio
import hashlib
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Any, Literal

import aiohttp
import aiosmtplib
from pydantic import Field, model_validator

from relay.clock import Clock, WallClock
from relay.config.secrets import one_place_each, read_secret
from relay.incident.effects import AcknowledgePage, Announce, Effect, Page, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations.courier import Again, Never
from relay.integrations.fitting import cut, one_line
from relay.integrations.target import TargetSettings

TIMEOUT = 9.0
"""Seconds until the server wants the mail, and as many until it has taken it: both fit into what an errand may take."""
LONGEST_SUBJECT = 200
LONGEST_TEXT = 100_000
LONGEST_WORDS = 300
MailAddress = Annotated[str, Field(pattern=r"^[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+$", max_length=254)]


class EmailTarget(TargetSettings):
    """A mailbox, or several, and the server that takes mail for them."""

    type: Literal["email"]
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str | None = None
    password_env: str | None = None
    sender: MailAddress
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _name_and_password(self) -> "EmailTarget":
        given = self.password_file is not None or self.password_env is not None
        if given != bool(self.username):
            raise ValueError('write "username" and "password_file" or "password_env" together, or none of them')
        one_place_each(self)
        if given and self.security == "none":
            raise ValueError('a password is not sent in the clear: write "security: starttls" or "tls"')
        return self

    def courier(self, clock: Clock | None = None, timeout: float = TIMEOUT) -> "Email":
        """Read the password and give the courier; `timeout` in seconds. Raises `SecretMissing`."""
        password = read_secret(self.password_file, self.password_env) if self.username else ""
        return Email(self, password, timeout, clock or WallClock())

    def warnings(self) -> tuple[str, ...]:
        """What will go wrong some day with this target."""
        return ("mail goes out without encryption",) if self.security == "none" else ()


class Email:
    """Carries pages to mailboxes."""

    def __init__(self, target: EmailTarget, password: str, timeout: float, clock: Clock) -> None:
        self._target = target
        self._password = password
        self._timeout = timeout
        self._clock = clock

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Delivered | None:
        """Send one message; the server has to take it for one recipient at least. Raises `Again` or `Never`."""
        message = self._message(effect)
        try:
            await self._send(message)
        except aiosmtplib.SMTPAuthenticationError as error:
            raise _refusal(error.code, "it does not let Relay in with the username and the password") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(
                min(one.code for one in error.recipients), "it takes mail for none of the recipients"
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error.code, str(error.message)) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Again(f"the mail server cannot be reached ({type(error).__name__})") from None
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None

    async def _send(self, message: EmailMessage) -> None:
        async with asyncio.timeout(self._timeout) as limit:
            client = _Client(
                limit,
                hostname=self._target.host,
                port=self._target.port,
                username=self._target.username or None,
                password=self._password or None,
                use_tls=self._target.security == "tls",
                start_tls=self._target.security == "starttls",
                timeout=self._timeout,
            )
            try:
                await client.connect()
                await client.send_message(message, recipients=list(self._target.to))
            finally:
                client.leave()

    def _message(self, effect: Effect) -> EmailMessage:
        subject, text, suffix = _words(effect)
        message = EmailMessage()
        message["Subject"] = cut(one_line(subject), LONGEST_SUBJECT)
        message["From"] = self._target.sender
        message["To"] = ", ".join(self._target.to)
        message["Date"] = format_datetime(self._clock.now())
        message["Auto-Submitted"] = "auto-generated"
        message["Message-ID"] = self._id(effect.key, suffix)
        if suffix != "page":
            message["In-Reply-To"] = message["References"] = self._id(effect.key, "page")
        message.set_content(cut(text, LONGEST_TEXT).encode("utf-8", "replace").decode())
        return message

    def _id(self, key: str, suffix: str) -> str:
        """The same on every attempt, so that a mailbox which gets it twice can tell."""
        digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:40]
        return f"<{digest}.{suffix}@{self._target.sender.partition('@')[2]}>"


class _Client(aiosmtplib.SMTP):
    """Has its time anew from when the mail itself is sent: where that is broken off, it may be taken, and comes twice.

    So who is slow before is given no mail that there is no time left to wait for.
    """

    def __init__(self, limit: asyncio.Timeout, timeout: float, **options: Any) -> None:
        super().__init__(timeout=timeout, **options)
        self._limit = limit
        self._seconds = timeout

    async def data(self, message: str | bytes, /, **options: Any) -> aiosmtplib.SMTPResponse:
        self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)
        return await super().data(message, **options)

    def leave(self) -> None:
        """Hang up, and wait for nothing: what was taken is taken, whatever the server says when it is told to quit."""
        if self.protocol is not None and self.protocol.is_connected:
            self.protocol.write(b"QUIT\r\n")
        self.close()


def _words(effect: Effect) -> tuple[str, str, str]:
    """Subject, text, and what tells this message of a page from the others."""
    match effect:
        case Page(notice=notice):
            links = "\n".join(f"{text}: {address}" for text, address in notice.links.items())
            alerts = "\n".join(notice.alerts)
            return notice.title, f"{notice.text}\n\n{notice.firing} firing:\n{alerts}\n\n{links}\n", "page"
        case UpdatePage(notice=notice, what=what):
            suffix = hashlib.sha256(what.encode("utf-8", "replace")).hexdigest()[:12]
            return f"{what} | {notice.title}", f"{what}\n\n{notice.text}\n", f"update-{suffix}"
        case AcknowledgePage(key=key, by=by):
            return f"Acknowledged by {by}: {_incident(key)}", f"{by} is on it.\n", "acknowledge"
        case ResolvePage(key=key, because=because):
            return f"Resolved: {_incident(key)}", f"{because}\n", "resolve"
        case Announce(title=title, text=text):
            return title, text, "page"
        case _:
            raise Never(f"e-mail cannot carry out {type(effect).__name__}")


def _incident(key: str) -> str:
    return key.partition("/")[0]


def _refusal(code: int, words: str) -> Again | Never:
    said = f"the mail server says {code}: {cut(one_line(words), LONGEST_WORDS)}"
    return Never(said) if code >= 500 else Again(said)
