"""Names and ids that a database may refuse to hear of are refused before it is asked, whichever it is."""

import asyncio

import pytest
from databases import postgresql_url
from service import service

__all__ = ["postgresql_url"]

ODD = ["INC-%00", "INC-1%00", "%00", "INC-%F0%9F%92%A9", "INC-1%0A", "INC-" + "9" * 30, "inc-1"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
async def relay(request, tmp_path):
    database = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""
    async with service(tmp_path, database=database) as running:
        yield running


@pytest.mark.parametrize("id_", ODD)
async def test_what_is_no_id_is_404(relay, id_):
    for method, path in (
        ("GET", f"/api/v1/incidents/{id_}"),
        ("GET", f"/incidents/{id_}"),
        ("POST", f"/api/v1/incidents/{id_}/ack"),
        ("GET", f"/api/v1/verify?incident={id_}"),
        ("POST", f"/api/v1/windows/{id_}/end"),
    ):
        assert (await relay.ask(method, path, role="responder"))[0] == 404, (method, path)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\x7fb"])
async def test_a_window_is_not_called_by_what_nobody_can_write(relay, name):
    window = {"name": name, "reason": "work", "owner": "ana", "matchers": ["a=b"], "starts": "2030-01-01T00:00"}
    status, said = await relay.ask("POST", "/api/v1/windows", window, role="responder")
    assert status == 422, said


async def test_text_with_odd_characters_is_written_down_or_refused_in_words(relay):
    await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [{"status": "firing", "labels": {"a": "b"}}]})
    async with asyncio.timeout(5):
        while (await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer"))[0] != 200:
            await asyncio.sleep(0.01)
    for text in ("a\0b", "\x1b[31m", "\U0001f4a9", "\u202e"):
        status, said = await relay.ask("POST", "/api/v1/incidents/INC-1/note", {"text": text}, role="responder")
        assert status == 200, said
        window = {"name": "w", "reason": text, "owner": text, "matchers": ["a=b"], "for": "1h"}
        assert (await relay.ask("POST", "/api/v1/windows", window, role="responder"))[0] in (200, 409, 422)
