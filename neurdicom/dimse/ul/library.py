"""Settings of pynetdicom for a process."""

import logging

from pynetdicom import _config


def configure_library(debug: bool) -> None:
    """Have pynetdicom format and log nothing that nobody reads."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.DEBUG if debug else logging.ERROR)
    if not debug:  # these log a traceback for each connection that breaks; we say it in a line
        for name in ("dul", "fsm", "transport", "dimse", "utils"):
            logging.getLogger(f"pynetdicom.{name}").setLevel(logging.CRITICAL)
        logging.getLogger("pydicom").setLevel(logging.ERROR)  # it warns of a bad UID whenever it is copied
