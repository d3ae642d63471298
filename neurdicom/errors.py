"""The errors of NeurDICOM: one small tree, each class also the built-in that a caller expects.

No class knows of HTTP or DIMSE. Each edge has one table from these classes to its own statuses.
The message says what was found, what was expected, and where.
"""


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
    """The input can't be parsed: broken JSON, a broken multipart body, a truncated file."""

    code = "malformed"


class NotDicom(NeurdicomError, ValueError):
    """The bytes are not a DICOM file, or not one that can be stored."""

    code = "not_dicom"


class Invalid(NeurdicomError, ValueError):
    """Well-formed, but wrong: an unknown filter, a missing UID, a value out of range."""

    code = "invalid"


class TooLarge(NeurdicomError, ValueError):
    """More than a limit allows."""

    code = "too_large"


class NotFound(NeurdicomError, LookupError):
    """Nothing has this id."""

    code = "not_found"


class Gone(NeurdicomError, LookupError):
    """It was here once, and can't be had again."""

    code = "gone"


class Conflict(NeurdicomError):
    """The request contradicts what is there."""

    code = "conflict"


class NotAvailable(NeurdicomError, ValueError):
    """A representation that this object can't give, such as the image of a report."""

    code = "not_available"


class NotInstalled(NeurdicomError, NotImplementedError):
    """A part of the software that this needs is not installed; the message names the extra that brings it."""

    code = "not_installed"


class Unauthenticated(NeurdicomError, PermissionError):
    """No credential, or a wrong or expired one."""

    code = "unauthenticated"


class TooManyAttempts(NeurdicomError, PermissionError):
    """Sign-in is slowed down after failures; `retry_after` is in seconds."""

    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Forbidden(NeurdicomError, PermissionError):
    """Signed in, but not allowed."""

    code = "forbidden"


class Unavailable(NeurdicomError, ConnectionError):
    """A backend that the server needs does not answer, or the server is stopping."""

    code = "unavailable"


class PeerFailed(NeurdicomError, ConnectionError):
    """A DICOM node does not answer, refuses, or answers with a failure; the message says which, and its words.

    Attributes
    ----------
    retryable : bool
        Trying again later may help: it did not answer, or said that it is busy.
    retry_after : float or None
        Seconds after which it asks to be tried again.
    """

    code = "peer_failed"

    def __init__(self, message: str, *, retryable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class PluginError(NeurdicomError, RuntimeError):
    """A plugin did not give a result; the server and all other requests are unharmed.

    Attributes
    ----------
    loading : bool
        It failed while it was loaded, `init` included, and not in a call; enough of these quarantine it.
    """

    code = "plugin_failed"
    loading = False


class PluginFailed(PluginError):
    """The plugin raised, or answered NULL; the message ends in its last line."""


class PluginCrashed(PluginError):
    """The plugin's process died; the message names the signal or the exit status.

    Attributes
    ----------
    from_outside : bool
        It was killed (SIGKILL): by the kernel when memory ran out, or by an operator.
    """

    code = "plugin_crashed"
    from_outside = False


class PluginTimeout(PluginError, TimeoutError):
    """The plugin was still running at its time limit, and was ended."""

    code = "plugin_timeout"


class PluginMemory(PluginError, MemoryError):
    """The plugin went past its memory limit, and was ended."""

    code = "plugin_memory"


class PluginQuarantined(PluginError):
    """The plugin kept failing to load and is not run until a new version of it arrives."""

    code = "plugin_quarantined"


def shown(value: object) -> str:
    """Write a value for an error message, cut off after 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
