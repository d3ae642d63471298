"""Operations on jobs; `operations` tells how a description becomes a method of a client."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neurdicom.client.events import EventStream
from neurdicom.client.operations import ApiResource, TransportT_co, call, events, last_event, listing
from neurdicom.client.protocol import (
    ApiRequest,
    ApiResponse,
    JsonObject,
    list_request,
    one_tool,
    read_object,
    segment,
)


class JobsApi(ApiResource[TransportT_co]):
    """Jobs: long work of the server's."""

    @call
    def process(
        self,
        *,
        plugin: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        patients: Sequence[str] = (),
        studies: Sequence[str] = (),
        series: Sequence[str] = (),
        instances: Sequence[str] = (),
        filters: Mapping[str, Any] | None = None,
        level: str | None = None,
        format: str = "png",
        frame: int | Literal["all"] = "all",
        store: bool = False,
        cache: bool = True,
        dry_run: bool = False,
    ) -> ApiRequest[JsonObject]:
        """Run a plugin or a model on all that is selected, as a job.

        Parameters
        ----------
        plugin, model : str, optional
            Id of the plugin, or of the model.
        params : Mapping[str, Any], optional
            Parameters of the plugin.
        patients, studies, series, instances : sequence of str
            Ids of what is selected.
        filters : Mapping[str, Any], optional
            What is selected instead: field name to text, or to several texts; `{}` is all that is stored.
        level : {"patients", "studies", "series", "instances"}, optional
            The list whose filters these are; instances by default.
        format : {"png", "jpeg", "lum8", "f32", "f64", "npy", "json", "dicom"}
            The form of images.
        frame : int or "all"
            The frame of each instance, from 1.
        store : bool
            Keep the results as DICOM instances of their studies.
        cache : bool
            Take results that were computed before.
        dry_run : bool
            Count only.

        Returns
        -------
        dict
            The job; of a dry run, `total` and `skipped`.

        Raises
        ------
        NotFound
            There is no such plugin, model or entity.
        Invalid
            The request is wrong; `field` names the member.
        """
        type, tool = one_tool(plugin, model)
        body: JsonObject = {
            type: tool,
            "params": dict(params or {}),
            "format": format,
            "frame": frame,
            "store": store,
            "cache": cache,
            "dry_run": dry_run,
        }
        ids = {"patients": patients, "studies": studies, "series": series, "instances": instances}
        body |= {name: list(given) for name, given in ids.items() if given}
        if filters is not None:
            body["filters"] = dict(filters)
        if level is not None:
            body["level"] = level
        return ApiRequest("POST", "/api/process", read_object, json=body)

    @call
    def get(self, id: str) -> ApiRequest[JsonObject]:
        """Get a job.

        Parameters
        ----------
        id : str
            Its id.

        Returns
        -------
        dict
            With `state` (`queued`, `running`, `done`, `failed`, `cancelled`), `done`, `failed`, `total`, `errors`.

        Raises
        ------
        NotFound
            There is none.
        """
        return ApiRequest("GET", f"/api/jobs/{segment(id)}", read_object)

    @listing
    def results(self, id: str, *, state: str | None = None) -> ApiRequest[list[JsonObject]]:
        """List what came of each item of a processing job.

        Parameters
        ----------
        id : str
            The job's.
        state : str, optional
            Only items in this state, such as `failed`.

        Returns
        -------
        iterator of dict
            With `series`, `instance`, `state`, `result`, `url`, `error`.

        Raises
        ------
        NotFound
            There is no such job.
        """
        return list_request(f"/api/jobs/{segment(id)}/results", None if state is None else {"state": state}, "")

    @call
    def cancel(self, id: str) -> ApiRequest[JsonObject | None]:
        """Cancel a job, or forget one that is over.

        Parameters
        ----------
        id : str
            Its id.

        Returns
        -------
        dict or None
            The job, which ends after the item under way; None when it was over.

        Raises
        ------
        NotFound
            There is none.
        Forbidden
            It is another user's.
        """
        return ApiRequest("DELETE", f"/api/jobs/{segment(id)}", _read_if_any)

    @events
    def follow(self, id: str) -> EventStream:
        """Follow a job from its beginning to its end, over broken connections and restarts of the server.

        Parameters
        ----------
        id : str
            Its id.

        Returns
        -------
        iterator of ServerSentEvent
            `progress`, `result` and `failure` of items, at last `end` with the whole job.

        Raises
        ------
        NotFound
            There is none, or it was forgotten meanwhile.
        Unavailable
            The server has been away for two minutes.
        """
        return EventStream(f"/api/jobs/{segment(id)}/events")

    @last_event
    def wait(self, id: str) -> EventStream:
        """Wait for the end of a job.

        Parameters
        ----------
        id : str
            Its id.

        Returns
        -------
        dict
            The job as it ended.

        Raises
        ------
        NotFound, Unavailable
            As of `follow`.
        """
        return EventStream(f"/api/jobs/{segment(id)}/events", (("items", "none"),))


def _read_if_any(response: ApiResponse) -> JsonObject | None:
    return read_object(response) if response.body else None
