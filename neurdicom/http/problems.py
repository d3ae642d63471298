"""The table of HTTP statuses for our errors, and their form as problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from neurdicom import errors

#: Statuses by class; the most specific class counts.
STATUS: dict[type[errors.NeurdicomError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.MergedAway: 308,
    errors.NotFound: 404,
    errors.NotAvailable: 406,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.Damaged: 410,
    errors.TooLarge: 413,
    errors.NotDicom: 415,
    errors.UnsupportedCoding: 415,
    errors.Invalid: 422,
    errors.TooManyAttempts: 429,
    errors.PluginFailed: 500,
    errors.NotInstalled: 501,
    errors.PeerFailed: 502,
    errors.PluginCrashed: 502,
    errors.Unavailable: 503,
    errors.PluginQuarantined: 503,
    errors.PluginTimeout: 504,
    errors.PluginMemory: 507,
    errors.StorageFull: 507,
    errors.PluginError: 500,
    errors.NeurdicomError: 500,
}


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error; 500 for one that is not ours."""
    if isinstance(error, errors.MergedAway) and error.field is not None:
        return STATUS[errors.NotFound]  # named in the body, which no redirection changes
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def translated(error: BaseException | None) -> BaseException | None:
    """Make one of our errors of an error of the system where a disk refuses; return any other as it is."""
    if isinstance(error, OSError) and not isinstance(error, errors.NeurdicomError) and error.errno in errors.OF_DISKS:
        return errors.disk_failure(error, "the server can't use its disk")
    return error


def moved_to(error: errors.NeurdicomError, uri: str) -> dict[str, str]:
    """Make the header `Location` for a merged patient in a request's path; empty for any other error.

    Parameters
    ----------
    error : NeurdicomError
        The error of the request.
    uri : str
        Path and query of the request.
    """
    if not isinstance(error, errors.MergedAway) or error.field is not None:
        return {}
    path, question, query = uri.partition("?")
    parts = path.split("/")
    names = [unquote(part) for part in parts]
    if error.patient not in names:
        return {}
    parts[names.index(error.patient)] = quote(error.into, safe="")
    return {"Location": "/".join(parts) + question + query}


def headers_of(error: errors.NeurdicomError, uri: str) -> dict[str, str]:
    """Make the headers of an error's response that its class demands.

    Those are `Retry-After`, `Location`, and `Accept-Encoding` with the content codings that are taken (RFC 9110
    12.5.3); `uri` is the request's path and query.
    """
    headers = retry_after(error) | moved_to(error, uri)
    if isinstance(error, errors.UnsupportedCoding):
        headers["Accept-Encoding"] = ", ".join((*sorted(error.accepted), "identity"))
    return headers


def retry_after(error: errors.NeurdicomError) -> dict[str, str]:
    """Make the header that says when the next attempt may succeed; empty for an error that time does not mend."""
    if isinstance(error, errors.TooManyAttempts | errors.Unavailable):
        return {"Retry-After": str(max(1, round(error.retry_after)))}
    return {}


def problem(status: int, detail: str, *, code: str | None = None, field: str | None = None) -> dict[str, Any]:
    """Make problem details (RFC 9457).

    Parameters
    ----------
    status : int
        HTTP status.
    detail : str
        Explanation for people.
    code : str, optional
        Our stable name of the problem.
    field : str, optional
        Field or parameter that is wrong.
    """
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    body: dict[str, Any] = {
        "type": f"urn:neurdicom:problem:{code}" if code else "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail,
    }
    if code:
        body["code"] = code
    if field:
        body["field"] = field
    return body


def problem_of(error: errors.NeurdicomError, status: int | None = None) -> dict[str, Any]:
    """Make problem details of one of our errors, with the table's status unless another is given."""
    body = problem(status_of(error) if status is None else status, str(error), code=error.code, field=error.field)
    if isinstance(error, errors.Ambiguous):
        body["candidates"] = list(error.candidates)
    if isinstance(error, errors.MergedAway):
        body |= {"patient": error.patient, "into": error.into}
    if isinstance(error, errors.Damaged):
        body |= {"expected": error.expected, "found": error.found}
    return body
