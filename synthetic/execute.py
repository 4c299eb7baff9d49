"""Running one probe once, within its time."""

import asyncio
import time
import traceback
from contextlib import suppress

import structlog

from relay.clock import Clock
from synthetic.always import ALWAYS
from synthetic.checks import Check, Module
from synthetic.probes import probe_of
from synthetic.run import Failed, Result, Run

log = structlog.get_logger()


async def execute(keys: Check | Module, target: str, clock: Clock) -> Result:
    """Run a probe against a target. Whatever happens, it ends by its timeout, with a result."""
    with suppress(Exception):
        probe_of(keys.kind)  # imported before the time is taken; what is wrong with it is told below
    began_at, run = clock.now(), Run()
    run.samples.update(ALWAYS.get(keys.kind, {}))
    reason = text = ""
    try:
        async with asyncio.timeout(keys.timeout.total_seconds()):
            await probe_of(keys.kind)(keys, target, run)
    except TimeoutError:
        failed = run.timed_out()
        reason, text = failed.reason, str(failed)
    except Failed as failed:
        reason, text = failed.reason, str(failed)
    except Exception as error:
        log.error("a probe failed in itself", kind=keys.kind, exception=run.redact(traceback.format_exc()))
        reason, text = "internal", f"the probe itself failed ({type(error).__name__}): this is a mistake in Relay"
    seconds = time.perf_counter() - run.began
    text = run.redact(text)
    run.note(f"failed: {reason}: {text}" if reason else "succeeded")
    run.measure("probe_success", float(not reason))
    run.measure("probe_duration_seconds", seconds)
    return Result(not reason, reason, text, began_at, seconds, run.samples, tuple(run.log), run.screenshot)
