"""E-mail, to a real SMTP server in this process."""

import asyncio
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy

import aiohttp
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from pydantic import ValidationError
from rigs import KEY, NOON, NOTICE, PAGE

from relay.clock import ManualClock
from relay.demo.processes import free_port
from relay.engine.dispatch import COURIER_TIMEOUT
from relay.incident.effects import AcknowledgePage, Measure, ResolvePage, UpdatePage
from relay.incident.events import Delivered, Undeliverable
from relay.integrations.courier import Again, Never
from relay.integrations.email import TIMEOUT, Email, EmailTarget
from relay.store.encoding import write_event


@dataclass
class Mailbox:
    """Takes mail, or says what it is told to say; takes its time over some commands."""

    says: str = "250 OK"
    refuses: dict = field(default_factory=dict)
    waits: dict = field(default_factory=dict)
    """In seconds."""
    mail: list = field(default_factory=list)

    async def handle_EHLO(self, server, session, envelope, name, responses):
        await asyncio.sleep(self.waits.get("EHLO", 0))
        session.host_name = name
        return responses

    async def handle_QUIT(self, server, session, envelope):
        await asyncio.sleep(self.waits.get("QUIT", 0))
        return "221 Bye"

    async def handle_RCPT(self, server, session, envelope, address, options):
        await asyncio.sleep(self.waits.get("RCPT", 0))
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.says.startswith("250"):
            self.mail.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        await asyncio.sleep(self.waits.get("DATA", 0))
        return self.says.encode("latin-1")


@pytest.fixture
def mailbox():
    handler = Mailbox()
    handler.port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=handler.port, server_hostname="mail.example.com")
    controller.start()
    yield handler
    controller.stop()


def target(port, **more):
    given = {"type": "email", "host": "127.0.0.1", "port": port, "security": "none", "sender": "relay@example.com"}
    return EmailTarget.model_validate({**given, "to": ["ada@example.com", "noc@example.com"], **more})


async def send(mailbox, effect=PAGE, **more):
    courier = target(mailbox.port, **more).courier(ManualClock(NOON), 2.0)
    async with aiohttp.ClientSession() as session:
        return await courier.carry_out(effect, session)


async def test_a_page_is_a_message_that_says_it_all(mailbox):
    assert await send(mailbox) == Delivered(KEY, "pay")
    [(recipients, message)] = mailbox.mail
    assert recipients == ["ada@example.com", "noc@example.com"]
    assert message["Subject"] == NOTICE.title
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Wed, 07 Jan 2026 12:00:00 +0000"
    text = message.get_content()
    for line in (*NOTICE.text.splitlines(), *NOTICE.alerts, *NOTICE.links.values()):
        assert line in text


async def test_what_follows_is_in_the_thread_of_the_page_and_a_repeat_has_its_id(mailbox):
    effects = [PAGE, PAGE, UpdatePage("pay", KEY, NOTICE, "raised"), AcknowledgePage("pay", KEY, "Ada")]
    for effect in (*effects, ResolvePage("pay", KEY, "every alert ended")):
        await send(mailbox, effect)
    first, repeat, *rest = (message for _, message in mailbox.mail)
    assert first["Message-ID"] == repeat["Message-ID"]
    assert {message["In-Reply-To"] for message in rest} == {first["Message-ID"]}
    assert len({message["Message-ID"] for message in rest}) == 3
    assert [message["Subject"] for message in rest][1:] == ["Acknowledged by Ada: PAY-12", "Resolved: PAY-12"]


@pytest.mark.parametrize(
    "title",
    ["Déjà vu 🔥", "a\r\nBcc: everybody@example.com", "\x00\x1b[31m", "x" * 5000, "", "\ud800", "=?utf-8?q?x?="],
)
async def test_no_title_breaks_the_head(mailbox, title):
    await send(mailbox, replace(PAGE, notice=replace(NOTICE, title=title)))
    [(recipients, message)] = mailbox.mail
    assert recipients == ["ada@example.com", "noc@example.com"]
    assert message["Bcc"] is None
    assert len(message["Subject"] or "") <= 200


@pytest.mark.parametrize(
    ("says", "kind"), [("451 try later", Again), ("452 full", Again), ("550 no", Never), ("554 spam", Never)]
)
async def test_not_now_and_never(mailbox, says, kind):
    mailbox.says = says
    with pytest.raises(kind, match=says[:3]):
        await send(mailbox)


async def test_the_words_of_a_refusal_can_be_kept_in_whatever_alphabet_they_are(mailbox):
    mailbox.says = "550 5.7.1 Empf\xe4nger \x1b[31m unbekannt"
    with pytest.raises(Never, match=r"says 550: 5.7.1 Empf nger \[31m unbekannt$") as refusal:
        await send(mailbox)
    assert write_event(Undeliverable("Page", KEY, "pay", str(refusal.value)))


@pytest.mark.parametrize(
    ("says", "kind"), [("454 4.7.0 later", Again), ("421 4.3.2 shutting down", Again), ("535 5.7.8 no", Never)]
)
async def test_a_password_that_cannot_be_looked_at_now_is_shown_again_and_one_that_is_wrong_is_not(says, kind):
    def look_at(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False, message=says)

    port, options = free_port(), {"auth_require_tls": False, "authenticator": look_at}
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=port, server_hostname="mail.example.com", **options)
    controller.start()
    try:
        # a target refuses to be told a password without encryption
        courier = Email(target(port).model_copy(update={"username": "relay"}), "secret", 2.0, ManualClock(NOON))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(kind, match="the mail server"):
                await courier.carry_out(PAGE, session)
    finally:
        controller.stop()


async def test_one_recipient_is_enough(mailbox):
    mailbox.refuses = {"ada@example.com": "550 who?"}
    assert await send(mailbox) == Delivered(KEY, "pay")
    mailbox.refuses["noc@example.com"] = "450 later"
    with pytest.raises(Again, match="450"):
        await send(mailbox)
    mailbox.refuses["noc@example.com"] = "550 who?"
    with pytest.raises(Never, match="none of the recipients"):
        await send(mailbox)


async def test_what_the_server_has_taken_is_delivered_whatever_it_does_when_told_to_quit(mailbox):
    mailbox.waits = {"QUIT": 60}
    async with asyncio.timeout(1.5):
        assert await send(mailbox) == Delivered(KEY, "pay")


async def test_a_slow_server_is_given_no_mail_that_it_would_have_to_be_given_again(mailbox):
    mailbox.waits = {"EHLO": 1.2, "DATA": 1.2}  # of 2 seconds, each time
    assert await send(mailbox) == Delivered(KEY, "pay")
    mailbox.waits = {"EHLO": 1.2, "RCPT": 1.2}
    with pytest.raises(Again):
        await send(mailbox)
    assert len(mailbox.mail) == 1


def test_all_that_a_mail_may_take_fits_into_an_errand():
    assert 2 * TIMEOUT < COURIER_TIMEOUT


async def test_a_server_that_is_not_there_or_has_no_encryption_is_tried_again(mailbox):
    with pytest.raises(Again, match="cannot be reached"):
        await send(mailbox, security="starttls")
    mailbox.port = 9
    with pytest.raises(Again, match="cannot be reached"):
        await send(mailbox)


async def test_what_is_no_page_is_refused(mailbox):
    with pytest.raises(Never, match="cannot carry out Measure"):
        await send(mailbox, Measure({}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["ada"]},
        {"sender": "Relay <relay@example.com>"},
        {"to": ["a@b\nBcc: c@d"]},
        {"port": 0},
        {"username": "relay"},
        {"password_env": "X"},
        {"username": "relay", "password_env": "X"},
        {"security": "ssl"},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        target(**{"port": 25, **wrong})
