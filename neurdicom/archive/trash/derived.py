"""Observer of deletions that restores or deletes labels that are set aside, and calls another observer."""

from collections.abc import Collection

from neurdicom.archive.labels.aside import LabelsAside
from neurdicom.archive.trash.entry import SetAsideObserver
from neurdicom.dicom.query.attributes import Level


class WithLabels:
    """Observer of deletions that adds labels to the records of another observer.

    The deleting service sets labels aside itself, since it alone knows the instances.

    Parameters
    ----------
    observer : SetAsideObserver
        The other observer.
    labels : LabelsAside
        Labels that are set aside.

    Attributes
    ----------
    labels : LabelsAside
        The same.
    """

    def __init__(self, observer: SetAsideObserver, labels: LabelsAside) -> None:
        self._observer = observer
        self.labels = labels

    async def on_removed(self, level: Level, entity: str) -> None:
        """Delete what was derived from an entity; labels stay, since it may be a version that was replaced."""
        await self._observer.on_removed(level, entity)

    async def on_set_aside(self, level: Level, entity: str, place: str) -> None:
        """Hide what was derived from an entity.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key.
        place : str
            Place of its files in the blob store.
        """
        await self._observer.on_set_aside(level, entity, place)

    async def on_shown_again(self, series: str) -> None:
        """Show again what was derived from files of a series that were displaced."""
        await self._observer.on_shown_again(series)

    async def on_brought_back(self, place: str) -> None:
        """Show again what was hidden at a place, labels too."""
        await self.labels.bring_back(place)
        await self._observer.on_brought_back(place)

    async def on_discarded(self, place: str) -> None:
        """Delete what was hidden at a place, labels too."""
        await self.labels.discard(place)
        await self._observer.on_discarded(place)

    async def on_recovered(self, places: Collection[str]) -> None:
        """Delete what is hidden at places that no entry has.

        Parameters
        ----------
        places : collection of str
            Places of all entries.
        """
        await self._observer.on_recovered(places)
