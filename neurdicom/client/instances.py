"""Operations on stored instances; `operations` tells how a description becomes a method of a client."""

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
    """The output of a plugin or a model for one instance.

    Attributes
    ----------
    content : bytes
        The picture, the samples, the JSON or the DICOM file.
    media_type : str
        The form of `content`, such as `image/png`.
    result : str or None
        Id of the kept result.
    is_cached : bool
        The server had computed it before.
    shape : tuple of int
        Of samples: (rows, columns) or (frames, rows, columns); empty for everything else.
    dtype : str or None
        Of samples, as numpy names it; little-endian.
    stored : tuple of str
        SOP Instance UIDs of the instances that were stored (the first 100).
    """

    content: bytes
    media_type: str
    result: str | None
    is_cached: bool
    shape: tuple[int, ...]
    dtype: str | None
    stored: tuple[str, ...]

    def json(self) -> Any:
        """Parse the content.

        Returns
        -------
        Any
            The JSON value.

        Raises
        ------
        ValueError
            It is no JSON.
        """
        return json.loads(self.content)


class InstancesApi(ApiResource[TransportT_co]):
    """The stored instances."""

    @call
    def upload(self, path: Path | str) -> ApiRequest[list[JsonObject]]:
        """Store a DICOM file, or all files in a ZIP of a folder tree.

        Parameters
        ----------
        path : Path or str
            The file; it is streamed.

        Returns
        -------
        list of dict
            For each file `file`, `status` (`stored`, `replaced`, `duplicate`, `rejected`), `id`, `study`, `series` and
            `reason`.

        Raises
        ------
        NeurdicomError
            None of the files was stored; of a single file, the error is that file's.
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
            Field name to value.

        Raises
        ------
        NotFound
            There is none.
        """
        return ApiRequest("GET", f"/api/instances/{segment(id)}", read_object)

    @listing
    def list(self, filters: Mapping[str, str] | None = None, *, sort: str = "") -> ApiRequest[list[JsonObject]]:
        """List instances.

        Parameters
        ----------
        filters : Mapping[str, str], optional
            Field name to text, such as `{"patient_name": "DOE*"}`; all have to be met.
        sort : str
            Field names separated by commas, `-` before one that descends.

        Returns
        -------
        iterator of dict
            Instances, page by page.

        Raises
        ------
        Invalid
            A filter or a field is not known; `field` names it.
        """
        return list_request("/api/instances", filters, sort)

    @call
    def image(self, id: str, *, format: str = "png", frame: int = 1) -> ApiRequest[bytes]:
        """Render a frame.

        Parameters
        ----------
        id : str
            SOP Instance UID.
        format : {"png", "jpeg", "webp"}
            The kind of picture.
        frame : int
            From 1.

        Returns
        -------
        bytes
            The picture.

        Raises
        ------
        NotFound
            There is no such instance.
        NotAvailable
            It has no pixels.
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
            Parameters of the plugin.
        format : {"png", "jpeg", "lum8", "f32", "f64", "npy", "json", "dicom"}
            The form of an image.
        frame : int
            From 1.
        store : bool
            Keep the result as DICOM instances of the study.
        cache : bool
            Take a result that was computed before.

        Returns
        -------
        ToolOutput
            The result.

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
