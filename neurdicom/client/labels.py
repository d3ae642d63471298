"""Operations on labels; see `operations` for how a description becomes a method of a client."""

from typing import Literal

from neurdicom.client.operations import ApiResource, TransportT_co, call, listing
from neurdicom.client.protocol import ApiRequest, JsonObject, list_request, read_nothing, read_texts, segment

#: Levels of what may have labels.
LabelledLevel = Literal["patients", "studies", "series", "instances"]


class LabelsApi(ApiResource[TransportT_co]):
    """Operations on labels of patients, studies, series and instances."""

    @call
    def of(self, level: LabelledLevel, id: str) -> ApiRequest[list[str]]:
        """List the labels of an entity.

        Parameters
        ----------
        level : {"patients", "studies", "series", "instances"}
            Its level.
        id : str
            Its id.

        Returns
        -------
        list of str
            Sorted.

        Raises
        ------
        NotFound
            There is no such entity.
        """
        return ApiRequest("GET", _path(level, id), read_texts)

    @call
    def give(self, level: LabelledLevel, id: str, label: str) -> ApiRequest[None]:
        """Give a label to an entity; nothing changes if it has that already.

        Parameters
        ----------
        level : {"patients", "studies", "series", "instances"}
            Its level.
        id : str
            Its id.
        label : str
            The label.

        Returns
        -------
        None

        Raises
        ------
        NotFound
            There is no such entity.
        Invalid
            The text is no label, or the entity has as many as it can have.
        """
        return ApiRequest("PUT", _path(level, id, label), read_nothing)

    @call
    def take(self, level: LabelledLevel, id: str, label: str) -> ApiRequest[None]:
        """Take a label from an entity.

        Parameters
        ----------
        level : {"patients", "studies", "series", "instances"}
            Its level.
        id : str
            Its id.
        label : str
            The label.

        Returns
        -------
        None

        Raises
        ------
        NotFound
            There is no such entity, or it does not have the label.
        """
        return ApiRequest("DELETE", _path(level, id, label), read_nothing)

    @listing
    def list(self, *, sort: str = "label") -> ApiRequest[list[JsonObject]]:
        """List the labels in use.

        Parameters
        ----------
        sort : {"label", "-label"}
            The order.

        Returns
        -------
        iterator of dict
            Each with `label` and the number of `patients`, `studies`, `series` and `instances` that have it.
        """
        return list_request("/api/labels", None, sort)


def _path(level: LabelledLevel, id: str, *label: str) -> str:
    return "/api/" + "/".join(map(segment, (level, id, "labels", *label)))
