"""Operations on plugins and models; `operations` tells how a description becomes a method of a client."""

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
    """The installed plugins, or the installed models.

    Parameters
    ----------
    transport : HttpTransport or AsyncHttpTransport
        Sends what the operations describe.
    kind : {"plugins", "models"}
        Which of the two.
    """

    def __init__(self, transport: TransportT_co, kind: Literal["plugins", "models"]) -> None:
        super().__init__(transport)
        self._path = f"/api/{kind}"

    @call
    def install(self, path: Path | str) -> ApiRequest[JsonObject]:
        """Install a package, in place of an earlier version of it.

        Parameters
        ----------
        path : Path or str
            Its ZIP; it is streamed.

        Returns
        -------
        dict
            The plugin or model, with `id`, `name`, `version`, `state`.

        Raises
        ------
        Forbidden
            Only administrators may do this.
        Invalid
            The package is refused; the message says why, and `field` which part of it.
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
            Its id: `plugin_guid`, `model_guid`.

        Returns
        -------
        dict
            Its META.json, with `id`, `kind`, `params`, `digest`, `state`, `problem`.

        Raises
        ------
        NotFound
            There is none.
        """
        return ApiRequest("GET", f"{self._path}/{segment(id)}", read_object)

    @listing
    def list(self, *, sort: str = "name,id") -> ApiRequest[list[JsonObject]]:
        """List all of them.

        Parameters
        ----------
        sort : str
            Field names separated by commas, `-` before one that descends.

        Returns
        -------
        iterator of dict
            As of `get`.

        Raises
        ------
        Invalid
            They can't be sorted so.
        """
        return list_request(self._path, None, sort)

    @call
    def remove(self, id: str) -> ApiRequest[None]:
        """Remove a plugin or a model, and the results that it computed.

        Parameters
        ----------
        id : str
            Its id.

        Raises
        ------
        NotFound
            There is none.
        Forbidden
            Only administrators may do this.
        """
        return ApiRequest("DELETE", f"{self._path}/{segment(id)}", read_nothing)
