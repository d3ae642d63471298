"""Logging: one line per event, as text or as JSON, with the id of the request that it belongs to."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

#: Id of the request that the current task serves; the web layer sets it.
REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

#: Attributes of every `logging.LogRecord`; any other attribute was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id", "taskName"}

#: Libraries that log the whole URL of each request, which may contain a patient's name.
_TALKATIVE = ("httpx", "httpcore")

#: Escapes of control characters, so that logged text can't forge a line or control a terminal.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


def configure_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Configure the logging of this process; a second call replaces the first.

    Parameters
    ----------
    level : {"debug", "info", "warning", "error"}
    form : {"text", "json"}
        Lines for people, or one JSON object per line: `time`, `level`, `logger`, `message`, `request_id`, the fields of
        the event, and `exception`.
    stream : file, optional
        Destination of the lines; standard error by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_add_request_id)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """Formatter of text lines: `2026-01-31T12:00:00.123Z INFO    neurdicom.app: message key=value [request id]`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, followed by its traceback if it has one."""
        fields = "".join(f" {key}={value}" for key, value in _extra(record).items())
        request_id = getattr(record, "request_id", None)
        suffix = f" [{request_id}]" if request_id else ""
        text = (record.getMessage() + fields + suffix).translate(_ESCAPES)
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {text}"
        exception = _exception(record)
        return f"{line}\n{exception}" if exception else line


class JsonFormatter(logging.Formatter):
    """Formatter of JSON lines, one object per event."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON."""
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = getattr(record, "request_id", None)
        if request_id:
            entry["request_id"] = request_id
        entry.update(_extra(record))
        exception = _exception(record)
        if exception:
            entry["exception"] = exception
        try:
            return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # text that is no valid Unicode, or integers over 64 bits
            return orjson.dumps({key: ascii(value) for key, value in entry.items()}).decode()


def _add_request_id(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id"):
        record.request_id = REQUEST_ID.get()
    return True


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception(record: logging.LogRecord) -> str | None:
    parts = [logging.Formatter().formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts) or None
