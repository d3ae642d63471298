"""Messages between the server and a Dask worker: JSON and raw bytes of our own format; the server unpickles nothing.

A task names what it needs by SHA-256: the archive of its program and the files of its inputs. A Dask worker that lacks
some of them answers `missing`, receives them, and is asked again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

import orjson

from neurdicom import __version__, errors, wire
from neurdicom.errors import Invalid, NeurdicomError, PluginError, Unavailable
from neurdicom.workers.call import Priority
from neurdicom.workers.dask.packages import moved
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.program import Program, Reply

#: Error classes that may come from a Dask worker, by code.
_ERRORS: Final[dict[str, type[NeurdicomError]]] = {
    kind.code: kind
    for kind in (
        errors.PluginFailed,
        errors.PluginCrashed,
        errors.PluginTimeout,
        errors.PluginMemory,
        errors.NotAvailable,
        errors.NotDicom,
        errors.Malformed,
        errors.Invalid,
        errors.NotFound,
        errors.TooLarge,
        errors.Unavailable,
    )
}

Kind = Literal["package", "file"]


@dataclass(frozen=True, slots=True)
class Need:
    """Archive or stored file that a task needs where it runs, by its SHA-256."""

    kind: Kind
    sha256: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Answer of a Dask worker that lacks archives or files for a task."""

    worker: str
    needs: tuple[Need, ...]


def pack_task(task: Task) -> bytes:
    """Encode a task, its packages named by their digests.

    Raises
    ------
    Invalid
        JSON can't carry it.
    """
    portable = replace(task, program=moved(task.program, lambda package: package.name))
    try:
        return orjson.dumps({"version": __version__, **_shallow(portable)}, default=_plain)
    except orjson.JSONEncodeError as error:
        raise Invalid(f"the arguments can't be handed to a Dask worker: {error}") from error


def unpack_task(data: bytes) -> Task:
    """Decode a task that `pack_task` encoded. Raises `Unavailable` when the server is of another version."""
    values = orjson.loads(data)
    version = values.pop("version")
    if version != __version__:
        raise Unavailable(
            f"it runs NeurDICOM {__version__}, and the server {version}; install the server's version on it"
        )
    values["priority"] = Priority(values["priority"])
    values["program"] = Program.from_wire(values["program"])
    values["inputs"] = tuple(Input(**{**one, "edits": tuple(one["edits"])}) for one in values["inputs"])
    return Task(**values)


def _shallow(made: Any) -> dict[str, Any]:
    return {each.name: getattr(made, each.name) for each in fields(made)}


def _plain(value: Any) -> Any:
    if isinstance(value, Program):
        return value.to_wire()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def pack_reply(reply: Reply) -> bytes:
    """Encode a reply."""
    return wire.pack({"meta": reply.meta}, reply.body)


def pack_missing(missing: Missing) -> bytes:
    """Encode the answer of a Dask worker that lacks something."""
    return wire.pack({"missing": [asdict(need) for need in missing.needs], "worker": missing.worker})


def pack_error(error: NeurdicomError, worker: str) -> bytes:
    """Encode an error; the server raises one of the same class."""
    return wire.pack(
        {
            "error": {
                "code": error.code,
                "message": str(error),
                "field": error.field,
                "loading": isinstance(error, PluginError) and error.loading,
                "worker": worker,
            }
        }
    )


def unpack(data: bytes) -> Reply | Missing:
    """Decode a Dask worker's answer. Raises the error that it carries."""
    control, body, end = wire.unpack(data)
    if "error" in control:
        raise _error_of(control["error"])
    if "missing" in control:
        return Missing(control["worker"], tuple(Need(**need) for need in control["missing"]))
    return Reply(control["meta"], memoryview(data)[body:end].toreadonly())


def _error_of(fields: Mapping[str, Any]) -> NeurdicomError:
    kind = _ERRORS.get(fields["code"], errors.PluginFailed)
    message = fields["message"]
    if kind is Unavailable:
        message = f"Dask worker {fields['worker']}: {message}"
    error = kind(message, field=fields["field"])
    if isinstance(error, PluginError):
        error.loading = fields["loading"]
    return error
