"""Verb of the built-in worker that writes results as DICOM files: from JSON-able arguments to (meta, body)."""

import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from neurdicom.dicom.codec.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from neurdicom.errors import NotAvailable, NotInstalled, PluginFailed
from neurdicom.installation import how_to_install
from neurdicom.processing.dicom_output.capture import captures
from neurdicom.processing.dicom_output.common_modules import Record
from neurdicom.processing.dicom_output.datasets import returned_datasets
from neurdicom.processing.dicom_output.images import images
from neurdicom.processing.dicom_output.sources import read_planes
from neurdicom.processing.dicom_output.values import as_picture, frames_of

Answer = tuple[dict[str, Any], bytes | memoryview]


def derive(arguments: dict[str, Any]) -> Answer:
    """Write a result as DICOM files, each durable and complete.

    Parameters
    ----------
    arguments : dict
        `result`: path of the result's bytes, with its `kind` (image: in the format npy; json; dicom), `media_type`
        and `stack` (whether an array's first axis is that of slices). `sources`: a list of {path, frame, edits}.
        `tool`, `params`, `identity`, `run`, `series` and `made` (ISO 8601): see `Record`. `output`: path and beginning
        of the names of the files to write.

    Returns
    -------
    meta : dict
        `files`: a list of {path, size, sha256, instance}.
    body : bytes
        Empty.

    Raises
    ------
    PluginFailed
        The result does not fit META.json, or can't be written.
    NotAvailable
        Such a result has no form in DICOM.
    NotInstalled
        Its form is written by highdicom, which is missing.
    """
    record = Record(
        tool=arguments["tool"],
        params=arguments["params"],
        planes=read_planes(arguments["sources"]),
        identity=arguments["identity"],
        run=arguments["run"],
        series=arguments["series"],
        made=datetime.fromisoformat(arguments["made"]),
    )
    made = _KINDS[arguments["kind"]](arguments, record)
    files = [_write(ds, f"{arguments['output']}-{number}") for number, ds in enumerate(made, 1)]
    for file in files:  # last, since the disk has begun to write the first of them meanwhile
        _sync(file["path"])
    return {"files": files}, b""


def _of_image(arguments: Mapping[str, Any], record: Record) -> list[Dataset]:
    frames = frames_of(np.load(arguments["result"], mmap_mode="r", allow_pickle=False), stack=arguments["stack"])
    if record.tool["produces"].get("type") == "SEGMENTATION":
        _need_highdicom("a segmentation")
        from neurdicom.processing.dicom_output.segmentation import (
            segmentations,  # with highdicom, which takes its time to import
        )

        return segmentations(frames, record)
    if record.tool["input"] == "modality" and (made := images(frames, record)) is not None:
        return made
    return captures(as_picture(frames), record)


def _of_json(arguments: Mapping[str, Any], record: Record) -> list[Dataset]:
    if record.tool["produces"].get("type") != "MEASUREMENTS":
        raise NotAvailable(
            f"the result of {record.tool['name']} is JSON, which becomes a DICOM instance only where META.json "
            'says {"result": {"type": "MEASUREMENTS"}}'
        )
    _need_highdicom("a structured report")
    from neurdicom.processing.dicom_output.report import report

    return [report(orjson.loads(Path(arguments["result"]).read_bytes()), record)]


def _of_dicom(arguments: Mapping[str, Any], record: Record) -> list[Dataset]:
    return returned_datasets(Path(arguments["result"]).read_bytes(), arguments["media_type"], record)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Record], list[Dataset]]] = {
    "image": _of_image,
    "json": _of_json,
    "dicom": _of_dicom,
}


def _need_highdicom(what: str) -> None:
    if importlib.util.find_spec("highdicom") is None:
        raise NotInstalled(f"{what} is written with highdicom, which is not installed; {how_to_install('derived')}")


def _write(ds: Dataset, path: str) -> dict[str, Any]:
    """Write a file; return its path, size, digest and SOP Instance UID."""
    meta = getattr(ds, "file_meta", None) or FileMetaDataset()
    meta.TransferSyntaxUID = meta.get("TransferSyntaxUID") or ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ds.file_meta = meta
    try:
        with Path(path).open("xb") as file:
            dcmwrite(file, ds, enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, NotImplementedError) as error:
        raise PluginFailed(f"the result can't be written as a DICOM instance: {error}") from error
    with Path(path).open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return {"path": path, "size": Path(path).stat().st_size, "sha256": digest, "instance": str(ds.SOPInstanceUID)}


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
