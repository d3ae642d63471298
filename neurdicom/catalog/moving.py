"""Part of the archive port that merges patients, moves studies and series, splits studies, and undoes this."""

from abc import ABC, abstractmethod

from neurdicom.catalog.moves import DisplacedFile, Move, MovedSeries, MoveRequest
from neurdicom.dicom.query.attributes import Level


class MovingCatalog(ABC):
    """Port of moves; every verb is one transaction, whole or not at all."""

    @abstractmethod
    async def move(self, request: MoveRequest) -> list[MovedSeries]:
        """Give a patient's studies, a study or series to another parent, durably, with files of them that arrive later.

        A `Move` is stored for each natural patient, study or series that the entities are made of, and the files lie
        where `moves.placing` says. Files say so by the edits of `moves.placement_edits`, which come before all others
        in `Located.edits`, and claim the same of the levels above them (`moves.claims_with`). Moves outlive `delete`
        and `clear`, and are renamed where a study goes over to another patient, with what was split off it
        (`takeover`). Edits are those of all keys of an entity, the latest counts.

        Parameters
        ----------
        request : MoveRequest
            The entities, and their new parent.

        Returns
        -------
        list of MovedSeries
            The natural series that lie somewhere else now.

        Raises
        ------
        NotFound
            One of the entities is not there; or the patient, and no demographics are given.
        Ambiguous
            A UID names several entities.
        Conflict
            Nothing would change, or a split would leave nothing behind.
        """

    @abstractmethod
    async def undo_move(self, edit: str) -> list[MovedSeries] | None:
        """Undo all moves of an edit; moves of the same entities that were made later stay in force.

        Parameters
        ----------
        edit : str
            Id of the edit.

        Returns
        -------
        list of MovedSeries or None
            The natural series that lie somewhere else now; None where no move has this id.
        """

    @abstractmethod
    async def moves(self, level: Level, entity: str) -> list[Move]:
        """List the moves of an entity, the earliest first; empty where nothing has this id. Raises `Ambiguous`.

        These are the moves of the natural entities that it is made of; of a patient the merges into it; of a study also
        the splits that made it, and those that took series out of it.
        """

    @abstractmethod
    async def merged_into(self, patient: str) -> str | None:
        """Look up the patient into which an absent one was merged; None if it is there, or was not merged."""

    @abstractmethod
    async def displaced(self, entity: str, level: Level = Level.INSTANCE) -> list[DisplacedFile]:
        """List the displaced files of an instance, or of all below an entity, the latest first.

        Parameters
        ----------
        entity : str
            Key or UID of the entity.
        level : Level
            Its level.

        Raises
        ------
        Ambiguous
            The UID names several entities.
        """
