"""Operations on jobs; see `operations` for how a description becomes a method of a client."""

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
    """Operations on jobs: long work of the server."""

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
        """Submit a job that runs a plugin or a model on all selected entities.

        Parameters
        ----------
        plugin, model : str, optional
            Id of the plugin, or of the model.
        params : Mapping[str, Any], optional
            Values of the plugin's parameters, by name.
        patients, studies, series, instances : sequence of str
            UIDs or ids of the selected entities.
        filters : Mapping[str, Any], optional
            Filters that select entities instead: one or more texts by field name; `{}` selects all that is stored.
        level : {"patients", "studies", "series", "instances"}, optional
            Level of the entities that `filters` select; instances by default.
        format : {"png", "jpeg", "lum8", "f32", "f64", "npy", "json", "dicom"}
            Format of results that are images.
        frame : int or "all"
            Number of the frame of each instance, from 1, or all frames.
        store : bool
            Store the results as DICOM instances of their studies.
        cache : bool
            Return kept results of earlier runs instead of computing them again.
        dry_run : bool
            Only count what the job would do.

        Returns
        -------
        dict
            The job; for a dry run, `total` and `skipped`.

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
            Id of the job.

        Returns
        -------
        dict
            With `state` (`queued`, `running`, `done`, `failed`, `cancelled`), `done`, `failed`, `total`, `errors`.

        Raises
        ------
        NotFound
            There is no such job.
        """
        return ApiRequest("GET", f"/api/jobs/{segment(id)}", read_object)

    @listing
    def results(self, id: str, *, state: str | None = None) -> ApiRequest[list[JsonObject]]:
        """List the outcome of each item of a processing job.

        Parameters
        ----------
        id : str
            Id of the job.
        state : str, optional
            List only items in this state, such as `failed`.

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
        """Cancel a job, or delete the record of one that has ended.

        Parameters
        ----------
        id : str
            Id of the job.

        Returns
        -------
        dict or None
            The job, which ends after its current item; None if the job had ended and its record was deleted.

        Raises
        ------
        NotFound
            There is no such job.
        Forbidden
            The job belongs to another user.
        """
        return ApiRequest("DELETE", f"/api/jobs/{segment(id)}", _read_if_any)

    @events
    def follow(self, id: str) -> EventStream:
        """Follow the events of a job until its end, across broken connections and restarts of the server.

        Parameters
        ----------
        id : str
            Id of the job.

        Returns
        -------
        iterator of ServerSentEvent
            `progress`, `result` and `failure` of items, and finally `end` with the whole job.

        Raises
        ------
        NotFound
            There is no such job, or its record was deleted meanwhile.
        Unavailable
            The server has not responded for two minutes.
        """
        return EventStream(f"/api/jobs/{segment(id)}/events")

    @last_event
    def wait(self, id: str) -> EventStream:
        """Wait for the end of a job.

        Parameters
        ----------
        id : str
            Id of the job.

        Returns
        -------
        dict
            The job in its final state.

        Raises
        ------
        NotFound, Unavailable
            As of `follow`.
        """
        return EventStream(f"/api/jobs/{segment(id)}/events", (("items", "none"),))


def _read_if_any(response: ApiResponse) -> JsonObject | None:
    return read_object(response) if response.body else None
