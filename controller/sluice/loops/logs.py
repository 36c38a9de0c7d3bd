"""Structured logs: JSON lines for machines, or readable ones on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(*, json: bool, level: str) -> None:
    """Set up logging for the process. Raises KeyError for an unknown level's name."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # urllib3 would log query strings at DEBUG, and with them what people put into headers.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
