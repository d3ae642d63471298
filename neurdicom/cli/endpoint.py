"""The server that a command connects to: from options, the environment, or the file that `neurdicom login` writes."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from neurdicom.errors import NeurdicomError

#: URL of the server where none is named.
DEFAULT_SERVER = "http://localhost:8080"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """URL of a server, and a token for it if there is one."""

    url: str
    token: str | None


def find_endpoint(server: str | None, token: str | None) -> Endpoint | None:
    """Choose the server and its token.

    Parameters
    ----------
    server, token : str or None
        URL and token from the options or the environment; they override the stored ones. A stored token is used only
        for the server that it was stored with.

    Returns
    -------
    Endpoint or None
        None where no server is named and none is stored.
    """
    kept = read_endpoint()
    if kept is not None and (not server or kept.url.rstrip("/") == server.rstrip("/")):
        return Endpoint(server or kept.url, token or kept.token)
    return Endpoint(server, token or None) if server else None


def endpoint_file() -> Path:
    """Return the path of the file with the stored server (XDG Base Directory Specification)."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return base / "neurdicom" / "login.json"


def read_endpoint() -> Endpoint | None:
    """Read the stored server; None where there is none. Raises `NeurdicomError` where the file can't be parsed."""
    file = endpoint_file()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Endpoint(str(content["url"]), str(content["token"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NeurdicomError(
            f"{file} can't be read as a file of `neurdicom login`: {error!r}; delete it and log in again"
        ) from error


def keep_endpoint(endpoint: Endpoint) -> Path:
    """Store a server and its token, readable by this user only; return the path of the file."""
    file = endpoint_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(asdict(endpoint), stream)
    scratch.replace(file)
    return file


def forget_endpoint() -> Endpoint | None:
    """Delete the stored server; return it, or None where there was none that could be read."""
    try:
        kept = read_endpoint()
    except NeurdicomError:
        kept = None
    endpoint_file().unlink(missing_ok=True)
    return kept
