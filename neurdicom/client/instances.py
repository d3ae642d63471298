"""Operations on stored instances; see `operations` for how a description becomes a method of a client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurdicom.client.operations import ApiResource, TransportT_co, call, listing
from neurdicom.client.protocol import (
    WORK_SECONDS,
    ApiRequest,
    ApiResponse,
    JsonObject,
    list_request,
    not_neurdicom,
    one_tool,
    read_object,
    segment,
)


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """Output of a plugin or a model for one instance.

    Attributes
    ----------
    content : bytes
        Image, samples, JSON or DICOM file.
    media_type : str
        Media type of `content`, such as `image/png`.
    result : str or None
        Id of the kept result.
    is_cached : bool
        True if the server had computed the result before.
    shape : tuple of int
        Shape of samples: (rows, columns) or (frames, rows, columns); empty for other content.
    dtype : str or None
        Type of samples as numpy names it, little-endian; None for other content.
    stored : tuple of str
        Ids of the first 100 instances that were stored.
    """

    content: bytes
    media_type: str
    result: str | None
    is_cached: bool
    shape: tuple[int, ...]
    dtype: str | None
    stored: tuple[str, ...]

    def json(self) -> Any:
        """Parse the content as JSON.

        Returns
        -------
        Any
            The JSON value.

        Raises
        ------
        ValueError
            The content is not JSON.
        """
        return json.loads(self.content)


class InstancesApi(ApiResource[TransportT_co]):
    """Operations on stored instances."""

    @call
    def upload(self, path: Path | str) -> ApiRequest[list[JsonObject]]:
        """Upload a DICOM file, or all files in a ZIP of a folder tree.

        Parameters
        ----------
        path : Path or str
            Path of the file, which is streamed.

        Returns
        -------
        list of dict
            For each file `file`, `status` (`stored`, `replaced`, `duplicate`, `kept`, `rejected`), `id`, `study` and
            `series` (ids), `study_instance_uid`, `series_instance_uid`, `sop_instance_uid`, and `reason`.

        Raises
        ------
        NeurdicomError
            None of the files was stored; for a single file, the error is that file's.
        OSError
            The file can't be read.
        """
        path = Path(path)
        media_type = "application/zip" if path.suffix.lower() == ".zip" else "application/dicom"
        return ApiRequest(
            "POST", "/api/instances", _read_results, file=path, media_type=media_type, seconds=WORK_SECONDS
        )

    @call
    def get(self, id: str) -> ApiRequest[JsonObject]:
        """Get the indexed attributes of an instance.

        Parameters
        ----------
        id : str
            SOP Instance UID.

        Returns
        -------
        dict
            Values by field name.

        Raises
        ------
        NotFound
            There is no such instance.
        """
        return ApiRequest("GET", f"/api/instances/{segment(id)}", read_object)

    @listing
    def list(self, filters: Mapping[str, str] | None = None, *, sort: str = "") -> ApiRequest[list[JsonObject]]:
        """List instances.

        Parameters
        ----------
        filters : Mapping[str, str], optional
            Texts by field name, such as `{"patient_name": "DOE*"}`; all must match.
        sort : str
            Field names separated by commas, with `-` before a name for descending order.

        Returns
        -------
        iterator of dict
            Instances, requested page by page.

        Raises
        ------
        Invalid
            A filter or a field is unknown; `field` names it.
        """
        return list_request("/api/instances", filters, sort)

    @call
    def image(self, id: str, *, format: str = "png", frame: int = 1) -> ApiRequest[bytes]:
        """Render a frame of an instance.

        Parameters
        ----------
        id : str
            SOP Instance UID.
        format : {"png", "jpeg", "webp"}
            Format of the image.
        frame : int
            Number of the frame, from 1.

        Returns
        -------
        bytes
            The encoded image.

        Raises
        ------
        NotFound
            There is no such instance.
        NotAvailable
            The instance has no pixel data.
        """
        query = (("format", format), ("frame", str(frame)))
        return ApiRequest("GET", f"/api/instances/{segment(id)}/image", _read_body, query)

    @call
    def process(
        self,
        id: str,
        *,
        plugin: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        format: str = "png",
        frame: int = 1,
        store: bool = False,
        cache: bool = True,
    ) -> ApiRequest[ToolOutput]:
        """Run a plugin or a model on an instance, and wait for the result.

        Parameters
        ----------
        id : str
            SOP Instance UID.
        plugin, model : str, optional
            Id of the plugin, or of the model.
        params : Mapping[str, Any], optional
            Values of the plugin's parameters, by name.
        format : {"png", "jpeg", "lum8", "f32", "f64", "npy", "json", "dicom"}
            Format of a result that is an image.
        frame : int
            Number of the frame, from 1.
        store : bool
            Store the result as DICOM instances of the study.
        cache : bool
            Return the kept result of an earlier run instead of computing it again.

        Returns
        -------
        ToolOutput
            The output.

        Raises
        ------
        NotFound
            There is no such instance, plugin or model.
        Invalid
            A parameter is wrong; `field` names it.
        PluginError
            The plugin gave no result.
        """
        type, tool = one_tool(plugin, model)
        path = f"/api/instances/{segment(id)}/process/by_{type}/{segment(tool)}"
        options = {"format": format, "frame": frame, "store": store, "cache": "yes" if cache else "no"}
        body = options | dict(params or {})  # a plugin's own parameter of the same name comes first
        return ApiRequest("POST", path, _read_output, json=body, seconds=WORK_SECONDS)


def _read_results(response: ApiResponse) -> list[JsonObject]:
    results = read_object(response).get("results")
    if not isinstance(results, list):
        raise not_neurdicom(response)
    return results


def _read_body(response: ApiResponse) -> bytes:
    return response.body


def _read_output(response: ApiResponse) -> ToolOutput:
    headers = response.headers
    return ToolOutput(
        content=response.body,
        media_type=headers.get("Content-Type", ""),
        result=headers.get("X-Result-Id"),
        is_cached=headers.get("X-Cache") == "hit",
        shape=tuple(int(size) for size in headers.get("X-Shape", "").split(",") if size),
        dtype=headers.get("X-Dtype"),
        stored=tuple(filter(None, headers.get("X-Stored-Instances", "").split(","))),
    )
