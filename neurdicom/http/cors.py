"""Cross-origin access for pages of other origins (CORS of the Fetch standard), by the setting `cors_origins`.

Without the setting no header is sent, and browsers keep to their same-origin policy. Cookies are never allowed: a page
of another origin presents a bearer token.
"""

import re
from functools import lru_cache

#: Response headers that pages may read, besides those that they always may.
EXPOSED = (
    "Accept-Ranges, Content-Encoding, Content-Length, Content-Location, Content-Range, ETag, Link, Location, "
    "Retry-After, Vary, Warning, WWW-Authenticate, X-Cache, X-Dtype, X-Photometric-Interpretation, X-Request-ID, "
    "X-Result-Id, X-Result-Json, X-Shape, X-Stored-Count, X-Stored-Instances, X-Total-Count"
)

#: Request headers that pages may send, where the browser does not list them.
ACCEPTED = "Accept, Authorization, Content-Type, If-Match, If-None-Match, If-Range, Range, X-Request-ID"

#: Seconds for which a browser remembers the answer to a preflight.
MAX_AGE = 600

_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+(\s*,\s*[\w!#$%&'*+.^`|~-]+)*", re.ASCII)


@lru_cache(maxsize=8)
def listed_origins(setting: str) -> frozenset[str]:
    """Split the setting into origins, `*` among them where it stands for all."""
    return frozenset(each.strip().rstrip("/").lower() for each in setting.split(",") if each.strip())


def allowed_origin(setting: str, origin: str | None) -> str | None:
    """Return the value of Access-Control-Allow-Origin, None where the origin is not allowed.

    Parameters
    ----------
    setting : str
        `cors_origins`: origins separated by commas, or `*`.
    origin : str or None
        The request's Origin header.
    """
    listed = listed_origins(setting)
    if origin is None or not listed:
        return None
    if "*" in listed:
        return "*"
    return origin if origin.lower() in listed else None


def requested_headers(names: str | None) -> str:
    """Return the value of Access-Control-Allow-Headers: the preflight's list, where it is a list of names."""
    return names if names and len(names) <= 1024 and _NAMES.fullmatch(names) else ACCEPTED
