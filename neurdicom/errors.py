"""The errors of NeurDICOM: one small tree, each class also the built-in exception that a caller expects.

No class depends on HTTP or DIMSE; each edge has one table from these classes to its own statuses. A message says what
was found, what was expected, and where.
"""

import errno
from collections.abc import Iterable

#: Errors of the system that say that a disk has no room for more.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

#: Errors of the system that say that a disk refuses, for whatever reason.
OF_DISKS = _NO_ROOM | {errno.EROFS, errno.EIO}

#: Message of an error that is a fault of the server: what is wrong is in its log, and no peer's or client's business.
INTERNAL_ERROR = "internal error; the server's log has it"


class NeurdicomError(Exception):
    """Base of all errors that a caller can do something about.

    Attributes
    ----------
    code : str
        Stable machine-readable name, the same at every edge.
    field : str or None
        The field, parameter or part of the input that is wrong, where there is one.
    """

    code = "error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Malformed(NeurdicomError, ValueError):
    """Input that can't be parsed: broken JSON, a broken multipart body, a truncated file."""

    code = "malformed"


class NotDicom(NeurdicomError, ValueError):
    """Bytes that are not a DICOM file, or not one that can be stored."""

    code = "not_dicom"


class Invalid(NeurdicomError, ValueError):
    """Well-formed input with a wrong value: an unknown filter, a missing UID, a value out of range."""

    code = "invalid"


class TooLarge(NeurdicomError, ValueError):
    """Input or output over a limit."""

    code = "too_large"


class NotFound(NeurdicomError, LookupError):
    """A missing object: nothing has this id."""

    code = "not_found"


class MergedAway(NotFound):
    """A patient who was merged into another, and of whom nothing is left.

    Attributes
    ----------
    patient, into : str
        Ids of that patient, and of the other one.
    """

    code = "merged_away"

    def __init__(self, message: str, *, patient: str = "", into: str = "", field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.patient = patient
        self.into = into


class Gone(NeurdicomError, LookupError):
    """An object that was removed and can't be returned again."""

    code = "gone"


class Damaged(Gone):
    """A stored file that is missing, or has other bytes than those that were received; it is not given out.

    Attributes
    ----------
    expected : str or None
        SHA-256 of the bytes that were received, in hexadecimal.
    found : str or None
        SHA-256 of the bytes that are there; None where there are none, or they were not read.
    """

    code = "damaged"

    def __init__(
        self, message: str, *, field: str | None = None, expected: str | None = None, found: str | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.expected = expected
        self.found = found


class Conflict(NeurdicomError):
    """A request that contradicts the current state."""

    code = "conflict"


class Ambiguous(Conflict):
    """A UID that names several entities, where one is meant.

    Attributes
    ----------
    candidates : tuple of str
        Ids of all the entities that it names.
    """

    code = "ambiguous"

    def __init__(self, message: str, *, candidates: Iterable[str] = (), field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.candidates = tuple(candidates)


class NotAvailable(NeurdicomError, ValueError):
    """A representation that an object does not have, such as the image of a report."""

    code = "not_available"


class UnsupportedCoding(NeurdicomError, ValueError):
    """A body in a content coding that is not decoded; `accepted` has those that are."""

    code = "unsupported_coding"

    def __init__(self, message: str, *, field: str | None = None, accepted: Iterable[str] = ()) -> None:
        super().__init__(message, field=field)
        self.accepted = tuple(accepted)


class NotInstalled(NeurdicomError, NotImplementedError):
    """A missing optional dependency; the message names the extra that installs it."""

    code = "not_installed"


class Unauthenticated(NeurdicomError, PermissionError):
    """A missing, wrong or expired credential."""

    code = "unauthenticated"


class TooManyAttempts(NeurdicomError, PermissionError):
    """Too many failed sign-ins; `retry_after` is in seconds."""

    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(NeurdicomError, PermissionError):
    """A request that the signed-in user may not make."""

    code = "forbidden"


class Unavailable(NeurdicomError, ConnectionError):
    """A backend that does not respond, a disk that fails, or a server that is stopping.

    Attributes
    ----------
    retry_after : float
        Seconds after which the next attempt may succeed.
    """

    code = "unavailable"
    retry_after = 5.0


class StorageFull(Unavailable):
    """A disk of this server without room, or beyond its owner's quota; nothing of the request was stored."""

    code = "storage_full"
    retry_after = 60.0


class PeerFailed(NeurdicomError, ConnectionError):
    """A DICOM node that does not respond, refuses, or returns a failure; the message says which, and quotes the node.

    Attributes
    ----------
    retryable : bool
        True if a later attempt may succeed: the node did not respond, or said that it is busy.
    retry_after : float or None
        Seconds after which the node asks for the next attempt.
    """

    code = "peer_failed"

    def __init__(self, message: str, *, retryable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class PluginError(NeurdicomError, RuntimeError):
    """A plugin that gave no result; the server and all other requests are unharmed.

    Attributes
    ----------
    loading : bool
        True if the plugin failed while it was loaded, `init` included, and not in a call; enough of these quarantine
        it.
    """

    code = "plugin_failed"
    loading = False


class PluginFailed(PluginError):
    """A plugin that raised an exception, or returned NULL; the message ends with the last line of its error."""


class PluginCrashed(PluginError):
    """A plugin whose process died; the message names the signal or the exit status.

    Attributes
    ----------
    from_outside : bool
        True if the process was killed (SIGKILL): by the kernel when memory ran out, or by an operator.
    """

    code = "plugin_crashed"
    from_outside = False


class PluginTimeout(PluginError, TimeoutError):
    """A plugin that was stopped at its time limit."""

    code = "plugin_timeout"


class PluginMemory(PluginError, MemoryError):
    """A plugin that was stopped at its memory limit."""

    code = "plugin_memory"


class PluginQuarantined(PluginError):
    """A plugin that repeatedly failed to load and is not run until a new version of it is installed."""

    code = "plugin_quarantined"


def disk_failure(error: OSError, what: str) -> Unavailable:
    """Make the error for a disk that refuses: `StorageFull` where it has no room.

    Parameters
    ----------
    error : OSError
        The error of the system, whose paths are not shown.
    what : str
        What can't be done, such as "the server can't store the file".
    """
    kind = StorageFull if isinstance(error, StorageFull) or error.errno in _NO_ROOM else Unavailable
    return kind(f"{what}: {reason_of(error)}")


def reason_of(error: NeurdicomError | OSError) -> str:
    """Return the reason that others may read; an error of the system names paths of the server in its own text."""
    if isinstance(error, NeurdicomError):
        return str(error)
    return error.strerror or f"{type(error).__name__}; the log has more"


def shown(value: object) -> str:
    """Format a value for an error message, cut off after 80 characters."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
