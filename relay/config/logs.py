"""Structured logs on standard error. No record shows the values of variables: among them are secrets."""

import logging
import sys
from typing import Any

import structlog
from prometheus_client import Counter
from structlog.tracebacks import ExceptionDictTransformer

from relay.config.printable import printable

LOST = Counter("relay_log_failures_total", "Lines of the log that could not be written.", registry=None)


class _Lines(structlog.WriteLogger):
    """Writes a line a record. One that cannot be written is counted: a full disk under the log must stop nothing."""

    def msg(self, message: str) -> None:
        try:
            super().msg(message)
        except (OSError, ValueError):
            LOST.inc()

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def configure(log_format: str, level: str = "info") -> None:
    """Write a line a record, from a level on: JSON for machines, or text for people.

    What libraries tell the standard logging is written the same way, from warnings on.
    """
    stamped: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[structlog.typing.Processor] = (
        [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
        if log_format == "json"
        else [
            _printable,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
    structlog.configure(
        processors=[*stamped, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_standard_error,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING)


def _printable(_: Any, __: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Where a line is text for people; JSON escapes what is not printable."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in record.items()}


class _FromLibraries(logging.Handler):
    """Hands what the standard logging is told on."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(record.levelno // 10 * 10, logging.CRITICAL)  # the five that structlog knows
        structlog.get_logger().log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def _to_standard_error(*names: Any) -> structlog.WriteLogger:
    return _Lines(sys.stderr)
