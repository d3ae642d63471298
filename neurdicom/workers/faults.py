"""Errors made from a worker's report, or from the way its process ended."""

import os
import signal
from typing import Final

from neurdicom import errors
from neurdicom.errors import NeurdicomError, PluginCrashed, PluginFailed, PluginMemory, Unavailable
from neurdicom.workers import limits
from neurdicom.workers.forkserver_client import End
from neurdicom.workers.program import Program

#: Error classes that a worker may report, by code.
_REPORTABLE: Final[dict[str, type[NeurdicomError]]] = {
    kind.code: kind
    for kind in (
        PluginFailed,
        PluginMemory,
        errors.NotAvailable,
        errors.NotInstalled,
        errors.NotDicom,
        errors.Malformed,
        errors.Invalid,
        errors.NotFound,
        errors.TooLarge,
    )
}


#: Those that only our own modules may report, which write to the server's disk.
_REPORTABLE_BY_US: Final = _REPORTABLE | {kind.code: kind for kind in (Unavailable, errors.StorageFull)}


def verdict_of(end: End, program: Program, stage: str = "") -> NeurdicomError:
    """Make the error that explains why a worker's process ended.

    Parameters
    ----------
    end : End
        Wait status of the process, or the reason why it never began.
    program : Program
        The program that it ran.
    stage : str
        Part of the program's life for the message, such as " while it was loaded"; empty within a call.

    Returns
    -------
    NeurdicomError
        `Unavailable` where no process began; `PluginMemory` past the memory limit; otherwise `PluginCrashed`.
    """
    if end.refused is not None:
        return Unavailable(f"no worker process could be started for {program.title}: {end.refused}")
    code = os.waitstatus_to_exitcode(end.status)
    if code == limits.MEMORY_STATUS or (code < 0 and end.grown >= program.memory << 20):
        return PluginMemory(f"{program.title} went past its memory limit of {program.memory} MiB{stage}, and was ended")
    if code == limits.CONNECTION_STATUS:
        return PluginCrashed(f"{program.title} closed its connection{stage}")
    if code >= 0:
        return PluginCrashed(f"{program.title} ended its process with status {code}{stage}")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    crashed = PluginCrashed(f"{program.title} crashed{stage}: {name} ({signal.strsignal(-code) or 'real-time signal'})")
    crashed.from_outside = -code == signal.SIGKILL
    return crashed


def error_of(error: object, program: Program) -> NeurdicomError:
    """Make the error that a worker reports; a plugin can't report one that only the server can know."""
    fields = error if isinstance(error, dict) else {}
    reportable = _REPORTABLE_BY_US if program.kind == "builtin" else _REPORTABLE
    kind = reportable.get(str(fields.get("code")), PluginFailed)
    field = fields.get("field")
    message = str(fields.get("message") or f"{program.title} failed without a message")
    return kind(message[:4000], field=field if isinstance(field, str) else None)
