"""The server that a command talks to: by its options, the environment, or what `neurdicom login` kept."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from neurdicom.errors import NeurdicomError

#: Where a server is that nobody named.
DEFAULT_SERVER = "http://localhost:8080"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's URL, and a token for it where there is one."""

    url: str
    token: str | None


def find_endpoint(server: str | None, token: str | None) -> Endpoint | None:
    """Choose the server, and the token for it.

    Parameters
    ----------
    server, token : str or None
        Of the options or the environment; they go over what was kept. A kept token goes to the server that it was kept
        for and to no other.

    Returns
    -------
    Endpoint or None
        None where none is named and none is kept.
    """
    kept = read_endpoint()
    if kept is not None and (not server or kept.url.rstrip("/") == server.rstrip("/")):
        return Endpoint(server or kept.url, token or kept.token)
    return Endpoint(server, token or None) if server else None


def endpoint_file() -> Path:
    """Find the file of the kept server, in the user's folder of settings (XDG Base Directory Specification)."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return base / "neurdicom" / "login.json"


def read_endpoint() -> Endpoint | None:
    """Read the kept server, None where there is none. Raises `NeurdicomError` where the file holds something else."""
    file = endpoint_file()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Endpoint(str(content["url"]), str(content["token"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NeurdicomError(f"{file} can't be read as what `neurdicom login` keeps: {error!r}; delete it") from error


def keep_endpoint(endpoint: Endpoint) -> Path:
    """Keep a server and its token, readable by this user alone; answers the file."""
    file = endpoint_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = file.with_name(f".{file.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(asdict(endpoint), stream)
    scratch.replace(file)
    return file


def forget_endpoint() -> Endpoint | None:
    """Forget the kept server; answers what was kept, None where there was nothing that could be read."""
    try:
        kept = read_endpoint()
    except NeurdicomError:
        kept = None
    endpoint_file().unlink(missing_ok=True)
    return kept
