"""`browser`: what a user does and sees in Chromium, driven by Playwright.

Each run has a browser of its own, which is gone afterwards: nothing is left over from one user to the next, and what a
page does to its browser it does to no other check.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from string import Template
from urllib.parse import urljoin

from playwright.async_api import BrowserContext, Error, Locator, Page, Response, async_playwright

from synthetic.journeys import BrowserKeys, BrowserStep
from synthetic.run import Failed, Run, label
from synthetic.script import Scope

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OPENING = "open"
"""What the step is called that opens the target."""
SPARE = 3.0
"""Seconds, or a quarter of the timeout, that are kept for a screenshot and for ending the browser."""
MOST_NOTES = 50
_NETWORK = {
    "ERR_NAME_NOT_RESOLVED": "dns_nxdomain",
    "ERR_CONNECTION_REFUSED": "connect_refused",
    "ERR_CONNECTION_TIMED_OUT": "connect_timeout",
    "ERR_ADDRESS_UNREACHABLE": "connect_unreachable",
    "ERR_CERT_DATE_INVALID": "tls_expired",
    "ERR_CERT_COMMON_NAME_INVALID": "tls_name",
    "ERR_CERT_": "tls_untrusted",
    "ERR_SSL_": "tls_handshake",
    "ERR_TOO_MANY_REDIRECTS": "http_redirect",
    "ERR_EMPTY_RESPONSE": "broken_off",
    "ERR_CONNECTION_": "broken_off",
    "ERR_INVALID_HTTP_RESPONSE": "http_protocol",
}
"""How Chromium's errors begin (net_error_list.h), the longer ones first, to our reasons."""
_TIMINGS = """() => {
    const page = performance.getEntriesByType('navigation')[0];
    return {
        ttfb: page.responseStart, dom_content_loaded: page.domContentLoadedEventEnd, load: page.loadEventEnd,
    };
}"""


async def probe(keys: BrowserKeys, target: str, run: Run) -> None:
    """Open the target, and take the steps. Raises `Failed`, with the step in its message, and leaves a screenshot."""
    scope = Scope(keys.variables, keys.secrets, run)
    total = keys.timeout.total_seconds()
    spare = min(SPARE, total / 4)
    errors: list[str] = []
    run.phase = "start of the browser"
    async with _context(keys, total, spare) as context:
        context.on("weberror", lambda event: errors.append(event.error.message))
        _note_requests(context, run)
        page, secret_fields = await context.new_page(), list[Locator]()
        try:
            try:
                async with asyncio.timeout(total - spare - (time.perf_counter() - run.began)):
                    await _steps(keys, target, page, scope, secret_fields, run)
            except TimeoutError:
                raise run.timed_out() from None
            if errors and keys.page_errors == "fail":
                raise Failed("page_error", f"a script of the page failed: {run.redact(errors[0])[:200]}")
        except Failed:
            await _take_screenshot(page, secret_fields, spare / 2, run)
            raise
        finally:
            run.measure("probe_browser_page_errors", len(errors))
            for error in errors[:MOST_NOTES]:
                run.note(f"a script of the page failed: {run.redact(error)[:200]}")


@asynccontextmanager
async def _context(keys: BrowserKeys, total: float, spare: float) -> AsyncIterator[BrowserContext]:
    """A fresh browser, which is gone afterwards. Raises `Failed` when there is none."""
    program = os.environ.get("RELAY_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    sandbox = os.geteuid() != 0 and os.environ.get("RELAY_CHROMIUM_SANDBOX") != "off"
    driver = await async_playwright().start()
    try:
        try:
            browser = await driver.chromium.launch(
                executable_path=program,
                chromium_sandbox=sandbox,
                args=["--disable-quic", "--disable-dev-shm-usage"],
                timeout=(total - spare) * 1000,
            )
            context = await browser.new_context(
                viewport={"width": keys.viewport.width, "height": keys.viewport.height},
                ignore_https_errors=not keys.verify_certificates,
                accept_downloads=False,
            )
        except Error as error:
            raise Failed("unsupported", _unsupported(program, error)) from None
        context.set_default_timeout(0)  # the deadline of the run is the only one
        yield context
    finally:
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(spare / 2):
                await driver.stop()  # and with it the browser


def _unsupported(program: str | None, error: Error) -> str:
    if program is None:
        return "Chromium is not there: install it (apt-get install chromium), or name it in RELAY_CHROMIUM"
    if "sandbox" in error.message.lower():
        return "Chromium's sandbox needs user namespaces: allow them, or set RELAY_CHROMIUM_SANDBOX=off"
    return f"Chromium does not start: {' '.join(error.message.split())[:200]}"


async def _steps(
    keys: BrowserKeys, target: str, page: Page, scope: Scope, secret_fields: list[Locator], run: Run
) -> None:
    try:
        await _take(BrowserStep(name=OPENING, goto=""), page, target, scope, run)
        for step in keys.steps:
            if keys.secrets.keys() & set(Template(step.with_ or "").get_identifiers()):
                secret_fields.append(page.locator(step.action[1]))
            await _take(step, page, target, scope, run)
    finally:
        await _measure(page, run)


async def _take(step: BrowserStep, page: Page, target: str, scope: Scope, run: Run) -> None:
    """Take one step. Raises `Failed`."""
    action, what = step.action
    named, began = label("step", step.name), time.perf_counter()
    run.phase = f"the step {step.name}"
    run.measure("probe_step_success", 0, named)
    try:
        answer = await _act(action, scope, step, page, target)
        if answer is not None:
            run.measure("probe_step_http_status_code", answer.status, named)
            if answer.status >= 400:
                raise Failed("http_status", f"answers {answer.status}")
    except Failed as failed:
        raise Failed(failed.reason, f"in the step {step.name}: {failed}") from None
    except Error as error:
        raise _failed(step, run.redact(error.message)) from None
    finally:
        run.measure("probe_step_duration_seconds", time.perf_counter() - began, named)
    run.measure("probe_step_success", 1, named)
    run.note(f"{step.name}: {action} {what}".rstrip())


async def _act(action: str, scope: Scope, step: BrowserStep, page: Page, target: str) -> Response | None:
    """Do what the step says; gives the answer of a page that was gone to."""
    if action == "goto":
        return await page.goto(urljoin(target, scope.fill_path(step.action[1])))
    what, value = scope.fill(step.action[1]), scope.fill(step.with_ or "")
    match action:
        case "click":
            await page.locator(what).click()
        case "fill":
            await page.locator(what).fill(value)
        case "select":
            await page.locator(what).select_option(value)
        case "press":
            await page.keyboard.press(what)
        case "see":
            await page.locator(what).first.wait_for(state="visible")
        case "gone":
            await page.locator(what).first.wait_for(state="hidden")
    return None


def _failed(step: BrowserStep, message: str) -> Failed:
    said = " ".join(message.split())
    found = said.partition("net::")[2]
    reason = next((reason for begin, reason in _NETWORK.items() if found.startswith(begin)), "broken_off")
    return Failed(reason if found else "assertion", f"in the step {step.name}: {said[:300]}")


def _note_requests(context: BrowserContext, run: Run) -> None:
    """Write down what the pages asked for in vain."""

    def note(text: str) -> None:
        if len(run.log) < MOST_NOTES:
            run.note(text)

    def on_answer(answer: Response) -> None:
        if answer.status >= 400:
            note(f"{answer.request.method} {run.redact(answer.url)[:200]}: {answer.status}")

    context.on(
        "requestfailed", lambda asked: note(f"{asked.method} {run.redact(asked.url)[:200]} failed: {asked.failure}")
    )
    context.on("response", on_answer)


async def _measure(page: Page, run: Run) -> None:
    """Measure the last page, when there is one."""
    with suppress(Error, TypeError):
        for phase, milliseconds in (await page.evaluate(_TIMINGS)).items():
            run.measure("probe_browser_duration_seconds", milliseconds / 1000, label("phase", phase))


async def _take_screenshot(page: Page, secret_fields: list[Locator], seconds: float, run: Run) -> None:
    """Keep what a user would see, without what was typed as a secret."""
    try:
        async with asyncio.timeout(seconds):
            run.screenshot = await page.screenshot(type="jpeg", quality=80, mask=secret_fields)
        run.note("a screenshot was taken")
    except (Error, TimeoutError):
        run.note("no screenshot could be taken")
