"""The main loop of a worker process: load one program, answer its calls one at a time, unload it."""

import contextlib
import faulthandler
import gc
import os
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from neurdicom import wire
from neurdicom.errors import OF_DISKS, NeurdicomError, PluginFailed, PluginMemory, disk_failure
from neurdicom.workers import batch, limits, protocol
from neurdicom.workers.arena import Arena
from neurdicom.workers.batch import Answer
from neurdicom.workers.loaders import loaders as loading
from neurdicom.workers.loaders import native
from neurdicom.workers.program import Program
from neurdicom.workers.read_only import ReadOnlyFolders

Refusal = Callable[[BaseException], dict[str, Any]]

#: Longest error message that is passed on, in characters.
LONGEST: Final = 2000
_LONGEST_TRACE: Final = 16_000


def run(connection: socket.socket, read_only: ReadOnlyFolders) -> None:
    """Serve calls until the server asks for the end or is gone.

    Parameters
    ----------
    connection : socket
        Blocking stream socket to the server.
    read_only : ReadOnlyFolders
        Folders that the program can't change.

    Raises
    ------
    SystemExit
        A plugin asked for the end of its process, or the server has closed the connection.
    """
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    native.print_by_line()
    faulthandler.enable()
    gc.enable()
    limits.confine()
    request = protocol.receive(connection)
    if request is None:
        return
    program = Program.from_wire(request["arguments"])
    read_only.protect(is_ours=program.kind == "builtin")
    refusal = partial(_refusal, program, read_only)
    loaded: loading.Loaded | None = None
    try:
        loaded = loading.load(program)
    except SystemExit:
        raise
    except BaseException as error:
        _send(connection, refusal(error))
        return
    arena = Arena()
    _introduce(connection, {"meta": loaded.describe()}, arena)
    while (request := _receive(connection)) is not None:
        if request["verb"] == "unload":
            _send(connection, _unload(loaded, refusal))
            return
        descriptors = request.get(protocol.DESCRIPTORS, [])
        native.set_working(True)
        verb = request["verb"]
        if "calls" in request:
            control, body = batch.answer(request, arena, partial(_call, program, loaded, refusal, verb))
            _send(connection, control, body)
        else:
            if descriptors:
                request["arguments"][protocol.DESCRIPTORS] = descriptors
            control, body = _call(program, loaded, refusal, verb, request["arguments"])
            _close(descriptors)
            _send(connection, control, body, arena)
        native.set_working(False)
        if control.get("spent"):
            break
        del request, control, body
    _unload(loaded, refusal)


def _call(program: Program, loaded: loading.Loaded, refusal: Refusal, verb: str, arguments: dict[str, Any]) -> Answer:
    """Do one call; return the control part and the body of its answer."""
    own = os.getpid()
    try:
        try:
            meta, body = loaded.call(verb, arguments)
        finally:
            if os.getpid() != own:  # the plugin has forked, and this is the child: it must not answer as well
                os._exit(0)
        control = {"meta": meta}
        if len(wire.dumps(control)) > protocol.MAX_CONTROL:
            raise PluginFailed(
                f"{program.title}: the description of its result has more than {protocol.MAX_CONTROL} bytes of JSON"
            )
    except SystemExit:
        raise
    except BaseException as error:
        control, body = refusal(error), b""
        with contextlib.suppress(Exception):
            error.__traceback__ = None  # and with it the call's arrays
    return control, body


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # a plugin may have closed it
            os.close(descriptor)


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    try:
        return protocol.receive(connection)
    except OSError as error:
        raise SystemExit(limits.CONNECTION_STATUS) from error


def _introduce(connection: socket.socket, control: dict[str, Any], arena: Arena) -> None:
    try:
        protocol.introduce(connection, control, arena)
    except OSError as error:
        raise SystemExit(limits.CONNECTION_STATUS) from error


def _send(
    connection: socket.socket, control: dict[str, Any], body: protocol.Body = b"", arena: Arena | None = None
) -> None:
    try:
        protocol.send(connection, control, body, arena)
    except OSError as error:
        raise SystemExit(limits.CONNECTION_STATUS) from error


def _unload(loaded: loading.Loaded, refusal: Refusal) -> dict[str, Any]:
    try:
        loaded.unload()
    except SystemExit:
        raise
    except BaseException as error:
        return refusal(error)
    return {}


def _refusal(program: Program, read_only: ReadOnlyFolders, error: BaseException) -> dict[str, Any]:
    """Describe an exception for the server; its traceback goes to the log.

    With `spent` the program is in an unknown state, since nobody caught the exception: the worker takes no more calls.
    """
    if isinstance(error, NeurdicomError):
        field = error.field if isinstance(error.field, str) else None
        return {"error": {"code": error.code, "message": _utf8(str(error)), "field": field and _utf8(field)}}
    if isinstance(error, OSError) and error.errno in OF_DISKS and program.kind == "builtin":
        refused = disk_failure(error, f"{program.title} can't use the server's disk")
        return {"error": {"code": refused.code, "message": str(refused), "field": None}}
    if isinstance(error, MemoryError):
        message = f"{program.title} ran out of memory; its limit is {program.memory} MiB"
        return {"error": {"code": PluginMemory.code, "message": message, "field": None}, "spent": True}
    with contextlib.suppress(Exception):  # a plugin may have closed its stderr, or put anything in its place
        print("".join(traceback.format_exception(error))[-_LONGEST_TRACE:], file=sys.stderr)
    last = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if (text := read_only.refusal(error)) is not None:
        last = f"{type(error).__name__}: {text}"
    message = f"{program.title} failed: {_utf8(last)}"
    return {"error": {"code": PluginFailed.code, "message": message, "field": None}, "spent": True}


def _utf8(text: str) -> str:
    """Shorten a plugin's text, and escape the characters that UTF-8 can't encode."""
    return text[:LONGEST].encode("utf-8", "backslashreplace").decode("utf-8")


def exit_status(end: SystemExit) -> int:
    """Compute the exit status that a SystemExit asks for, as the interpreter does."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1
