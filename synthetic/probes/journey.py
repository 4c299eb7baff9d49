"""`journey`: requests that follow each other as a user's do, and a clean-up that is run whatever came before."""

import asyncio
import json
import time
from string import Template
from typing import Any
from urllib.parse import urlencode, urljoin

from aiohttp import CookieJar

from synthetic.exchange import Answer
from synthetic.journeys import Capture, JourneyKeys, Step, texts_in
from synthetic.kinds import HttpKeys
from synthetic.probes.http import PHASES, Missing, Private, follow, judge, measure, measured_phases, pick
from synthetic.run import Failed, Run, label
from synthetic.script import Scope
from synthetic.targets import Url, read_url

FROM_JOURNEY = ("tls", "ip_protocol")
"""What a step takes from its journey unless it says something else."""
MARGIN = 0.05
"""Seconds that are left for saying what came of it, before the deadline of the whole."""


async def probe(keys: JourneyKeys, target: str, run: Run) -> None:
    """Make the journey, and clean up. Raises `Failed`, with the step in its message."""
    scope = Scope(keys.variables, keys.secrets, run)
    cookies = CookieJar(unsafe=True)  # addresses may have cookies, too
    base, step = read_url(target), keys.steps[0]
    spare = keys.clean_up_timeout.total_seconds() + MARGIN if keys.clean_up else 0.0
    with measured_phases(run) as phases:
        try:
            async with asyncio.timeout(keys.timeout.total_seconds() - spare):
                for step in keys.steps:
                    await _take(step, keys, base, scope, cookies, run, phases)
        except TimeoutError:
            raise _in(step, run.timed_out()) from None
        finally:
            await _clean_up(keys, base, scope, cookies, run)


async def _clean_up(keys: JourneyKeys, base: Url, scope: Scope, cookies: CookieJar, run: Run) -> None:
    """Take all steps of the clean-up that can be taken; one that fails is told of, and keeps no other one back."""
    phases = dict.fromkeys(PHASES, 0.0)  # what a user waits for is told without it
    try:
        async with asyncio.timeout(keys.clean_up_timeout.total_seconds()):
            for step in keys.clean_up:
                if not scope.has(list(step.texts())):
                    run.note(f"{step.name}: left out, what it needs was not captured")
                    continue
                try:
                    await _take(step, keys, base, scope, cookies, run, phases)
                except Failed as failed:
                    run.note(f"the clean-up failed: {failed}")
    except TimeoutError:
        run.note("the clean-up did not end in time")


async def _take(
    step: Step, keys: JourneyKeys, base: Url, scope: Scope, cookies: CookieJar, run: Run, phases: dict[str, float]
) -> None:
    """Take one step. Raises `Failed`."""
    began, named = time.perf_counter(), label("step", step.name)
    run.measure("probe_step_success", 0, named)
    try:
        async with asyncio.timeout(step.timeout.total_seconds()):
            asked = _asked(step, keys, scope)
            url = _url(step, base, scope)
            answer, last = await follow(asked, url, run, phases, cookies, _private(step, keys))
        run.measure("probe_step_http_status_code", answer.status, named)
        measure(answer, last, run)
        judge(asked, answer, last, run)
        for name, source in step.capture.items():
            scope.capture(name, _found(name, source, answer))
            run.note(f"{step.name}: captured {name}")
    except TimeoutError:
        raise _in(step, run.timed_out()) from None
    except Failed as failed:
        raise _in(step, failed) from None
    finally:
        run.measure("probe_step_duration_seconds", time.perf_counter() - began, named)
    run.measure("probe_step_success", 1, named)


def _in(step: Step, failed: Failed) -> Failed:
    return Failed(failed.reason, f"in the step {step.name}: {failed}")


def _asked(step: Step, keys: JourneyKeys, scope: Scope) -> HttpKeys:
    """The step with values in the place of their names."""
    headers = {name: scope.fill(value) for name, value in step.headers.items()}
    body = scope.fill(step.body)
    if "body_json" in step.model_fields_set:
        body = json.dumps(scope.fill_all(step.body_json), ensure_ascii=False)
        headers.setdefault("Content-Type", "application/json")
    elif step.body_form:
        body = urlencode({name: scope.fill(value) for name, value in step.body_form.items()})
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    expected = tuple(
        one.model_copy(update={"equals": scope.fill_all(one.equals)}) if isinstance(one.equals, str) else one
        for one in step.json_
    )
    own = {key: getattr(keys, key) for key in FROM_JOURNEY if key not in step.model_fields_set}
    return step.model_copy(update={"headers": headers, "body": body, "json_": expected, **own})


def _private(step: Step, keys: JourneyKeys) -> Private:
    """What of a step holds secrets, or values that were captured."""

    def holds(*texts: str) -> bool:
        return any(set(Template(text).get_identifiers()) - keys.variables.keys() for text in texts)

    headers = frozenset(name.lower() for name, value in step.headers.items() if holds(value))
    return Private(headers, holds(step.body, *step.body_form.values(), *texts_in(step.body_json)))


def _url(step: Step, base: Url, scope: Scope) -> Url:
    """Where a step asks; what was captured cannot lead it to another host."""
    written = scope.fill_path(step.path)
    try:
        url = read_url(urljoin(str(base), written)) if written else base
    except ValueError as error:
        raise Failed("unsupported", f"its path is no path: {error}") from None
    if url.origin != base.origin and written != step.path:
        raise Failed("http_redirect", "what was captured leads to another host than the target's")
    return url


def _found(name: str, source: Capture, answer: Answer) -> Any:
    """What is to be captured. Raises `Failed` when it is not there."""
    if source.header is not None:
        value = answer.header(source.header)
        if value is None:
            raise Failed("assertion", f"there is no header {source.header} to capture {name} from")
        return value
    text = answer.body.decode("utf-8", "replace")
    if source.body is not None:
        match = source.body.compiled.search(text)
        if match is None:
            raise Failed("assertion", f"the body has nothing that matches {source.body}, to capture {name} from")
        return str(match.group(1) if match.re.groups else match.group(0))
    try:
        found = pick(json.loads(text), source.json_ or "")
    except (ValueError, RecursionError):
        raise Failed("assertion", f"the body is not JSON, to capture {name} from") from None
    if isinstance(found, Missing) or found is None:
        raise Failed("assertion", f"the body has no {source.json_}, to capture {name} from")
    return found
