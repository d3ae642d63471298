"""Observer of deletions in an archive without results."""

from collections.abc import Collection

from neurdicom.dicom.query.attributes import Level


class NoResults:
    """Observer of deletions that has no results; without a trash it refuses to be told of one."""

    def __init__(self, *, has_trash: bool = False) -> None:
        self._has_trash = has_trash

    async def stored_of(self, name: str, id: str) -> list[str]:
        return []

    async def on_removed(self, level: Level, entity: str) -> None:
        return

    async def on_set_aside(self, level: Level, entity: str, place: str) -> None:
        assert self._has_trash, f"{entity} was set aside without a trash"

    async def on_shown_again(self, series: str) -> None:
        return

    async def on_brought_back(self, place: str) -> None:
        assert self._has_trash, f"{place} was brought back without a trash"

    async def on_discarded(self, place: str) -> None:
        assert self._has_trash, f"{place} was emptied without a trash"

    async def on_recovered(self, places: Collection[str]) -> None:
        return
