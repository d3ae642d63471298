"""Operations on the storage; see `operations` for how a description becomes a method of a client."""

from collections.abc import Sequence

from neurdicom.client.operations import ApiResource, TransportT_co, call
from neurdicom.client.protocol import ApiRequest, JsonObject, read_object


class StorageApi(ApiResource[TransportT_co]):
    """Operations on what a server stores, for administrators."""

    @call
    def get(self) -> ApiRequest[JsonObject]:
        """Get counts and bytes by kind, the disk, the last check, and damaged files.

        Returns
        -------
        dict
            With `instances`, `results`, `plugins`, `models`, `disk`, `last_check` and `damaged`.

        Raises
        ------
        Forbidden
            The token is no administrator's.
        """
        return ApiRequest("GET", "/api/storage", read_object)

    @call
    def verify(
        self, *, rate: float = 0.0, repair: bool = False, repair_from: Sequence[str] = ()
    ) -> ApiRequest[JsonObject]:
        """Submit a job that checks all stored files.

        Parameters
        ----------
        rate : float
            Most MiB that are read in a second; 0 for no limit.
        repair : bool
            Put the received bytes back where the trash or an earlier version has them.
        repair_from : sequence of str
            Names of DICOMweb nodes that may have the bytes of damaged files, after the trash.

        Returns
        -------
        dict
            The job; its `results` have the counts and the first findings.

        Raises
        ------
        Forbidden
            The token is no administrator's.
        NotFound
            There is no such node.
        Invalid
            A node is none of DICOMweb.
        """
        body: JsonObject = {"rate": rate, "repair": repair, "repair_from": list(repair_from)}
        return ApiRequest("POST", "/api/storage/verify", read_object, json=body)
