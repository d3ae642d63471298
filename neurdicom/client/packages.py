"""Operations on plugins and models; see `operations` for how a description becomes a method of a client."""

from pathlib import Path
from typing import Literal

from neurdicom.client.operations import ApiResource, TransportT_co, call, listing
from neurdicom.client.protocol import (
    WORK_SECONDS,
    ApiRequest,
    JsonObject,
    list_request,
    read_nothing,
    read_object,
    segment,
)


class PackagesApi(ApiResource[TransportT_co]):
    """Operations on installed plugins, or on installed models.

    Parameters
    ----------
    transport : HttpTransport or AsyncHttpTransport
        Sends the requests that the operations describe.
    kind : {"plugins", "models"}
        Which of the two.
    """

    def __init__(self, transport: TransportT_co, kind: Literal["plugins", "models"]) -> None:
        super().__init__(transport)
        self._path = f"/api/{kind}"

    @call
    def install(self, path: Path | str) -> ApiRequest[JsonObject]:
        """Install a plugin or a model, replacing another version of it.

        Parameters
        ----------
        path : Path or str
            Path of its ZIP archive, which is streamed.

        Returns
        -------
        dict
            The plugin or model, with `id`, `name`, `version`, `state`.

        Raises
        ------
        Forbidden
            The user is not an administrator.
        Invalid
            The archive is refused; the message says why, and `field` names the part.
        OSError
            The file can't be read.
        """
        path = Path(path)
        return ApiRequest(
            "POST", self._path, read_object, file=path, media_type="application/zip", seconds=WORK_SECONDS
        )

    @call
    def get(self, id: str) -> ApiRequest[JsonObject]:
        """Get a plugin or a model.

        Parameters
        ----------
        id : str
            Its id: `plugin_guid` or `model_guid` of META.json.

        Returns
        -------
        dict
            Its META.json, with `id`, `kind`, `params`, `digest`, `state`, `problem`.

        Raises
        ------
        NotFound
            There is no such plugin or model.
        """
        return ApiRequest("GET", f"{self._path}/{segment(id)}", read_object)

    @listing
    def list(self, *, sort: str = "name,id") -> ApiRequest[list[JsonObject]]:
        """List all plugins or models.

        Parameters
        ----------
        sort : str
            Field names separated by commas, with `-` before a name for descending order.

        Returns
        -------
        iterator of dict
            As returned by `get`.

        Raises
        ------
        Invalid
            `sort` names an unknown field.
        """
        return list_request(self._path, None, sort)

    @call
    def remove(self, id: str) -> ApiRequest[None]:
        """Remove a plugin or a model, and the results that it computed.

        Parameters
        ----------
        id : str
            Id of the plugin or the model.

        Raises
        ------
        NotFound
            There is no such plugin or model.
        Forbidden
            The user is not an administrator.
        """
        return ApiRequest("DELETE", f"{self._path}/{segment(id)}", read_nothing)
