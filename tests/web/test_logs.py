"""Lines of the log: one for each event, whatever is logged."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from neurdicom.logs import REQUEST_ID, configure_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_for_each_event(root: logging.Logger, form: str) -> None:
    stream = io.StringIO()
    configure_logging("info", form, stream)
    configure_logging("info", form, stream)
    token = REQUEST_ID.set("r-1")
    logging.getLogger("here").info("first\nforged \x1b[31m %s", "Müller", extra={"status": 7})
    REQUEST_ID.reset(token)
    logging.getLogger("here").debug("too fine")
    logging.getLogger("here").warning("odd: %r", "\ud800", extra={"what": {1: object}})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    if form == "json":
        entry = json.loads(lines[0])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
        assert entry == {
            "level": "info",
            "logger": "here",
            "message": "first\nforged \x1b[31m Müller",
            "request_id": "r-1",
            "status": 7,
        }
        assert json.loads(lines[1])["level"] == "warning"
    else:
        assert lines[0].endswith("INFO    here: first\\x0aforged \\x1b[31m Müller status=7 [r-1]")


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks(root: logging.Logger, form: str) -> None:
    stream = io.StringIO()
    configure_logging("error", form, stream)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("here").exception("failed")
    text = stream.getvalue()
    assert "failed" in text and "ValueError: why" in text
    assert form == "text" or len(text.splitlines()) == 1


def test_surrogates_in_json(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    logging.getLogger("here").info("name %s", "\ud800")
    assert "ud800" in json.loads(stream.getvalue())["message"]
