"""Retrieval of an entity in pieces: what has not arrived of the whole is fetched instance by instance.

One instance that a node can't send then costs nothing but itself, and what fails is named.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import PeerFailed
from neurdicom.nodes.peer import Progress

Ids = Mapping[str, str]
"""Keyword to value of the unique keys of an entity."""

Find = Callable[[Level, Mapping[str, Any]], Awaitable[list[dict[str, Any]]]]
"""Queries a node at a level with keys in the DICOM JSON model."""

#: Failures in a row, all of which may pass, after which the node is left alone for a while.
_GIVE_UP = 5

_TAGS = {
    "PatientID": ("00100020", "LO"),
    "StudyInstanceUID": ("0020000D", "UI"),
    "SeriesInstanceUID": ("0020000E", "UI"),
    "SOPInstanceUID": ("00080018", "UI"),
}
_BELOW = {
    Level.PATIENT: (Level.STUDY, "StudyInstanceUID"),
    Level.STUDY: (Level.SERIES, "SeriesInstanceUID"),
    Level.SERIES: (Level.INSTANCE, "SOPInstanceUID"),
}


async def retrieve_piecewise(
    whole: AsyncGenerator[Progress, None],
    stored: Collection[str],
    list_instances: Callable[[], Awaitable[Sequence[Ids]]],
    fetch: Callable[[Ids], AsyncGenerator[Progress, None]],
) -> AsyncGenerator[Progress, None]:
    """Retrieve an entity as a whole, and then what is missing of it.

    Parameters
    ----------
    whole : async generator of Progress
        The retrieval as a whole.
    stored : collection of str
        SOP Instance UIDs of what it has stored so far.
    list_instances : callable
        Lists the instances of the entity, as the node reports them.
    fetch : callable
        Retrieves one instance.

    Yields
    ------
    Progress

    Raises
    ------
    PeerFailed
        The node fails as a whole, and does not say what it has, or fails for one instance after another.
    """
    now, failed, broken = Progress(), set[str](), None
    unnamed: list[Progress] = []
    try:
        async with aclosing(whole):
            async for now in whole:
                if now.reason is not None and now.instance is not None:
                    failed.add(now.instance)
                elif now.reason is not None:
                    unnamed.append(now)  # it may turn out which instances these are
                yield now if now.instance is not None else replace(now, reason=None)
    except PeerFailed as error:
        if error.retry_after is not None and not stored:
            raise  # it is busy, and says for how long
        broken = error
    if broken is None and now.failed <= len(failed):
        return
    try:
        instances = await list_instances()
    except PeerFailed:
        instances = []
    missing = [ids for ids in instances if ids["SOPInstanceUID"] not in failed and ids["SOPInstanceUID"] not in stored]
    if not missing:
        for each in unnamed:
            yield replace(now, instance=None, reason=each.reason, retryable=each.retryable)
        if broken is not None:
            raise broken
        return
    done = max(0, len(stored) - now.warned)
    total = done + now.warned + len(failed) + len(missing)
    pieces = _fetch_each(fetch, missing, Progress(done, len(failed), now.warned, total))
    async with aclosing(pieces):
        async for each in pieces:
            yield each


async def _fetch_each(
    fetch: Callable[[Ids], AsyncGenerator[Progress, None]], instances: Sequence[Ids], before: Progress
) -> AsyncGenerator[Progress, None]:
    """Retrieve instances one by one; those that fail are counted and named, and the others go on."""
    now, in_a_row = before, 0
    for ids in instances:
        one, broken = Progress(), None
        try:
            async with aclosing(fetch(ids)) as steps:
                async for one in steps:  # noqa: B007 (the last one counts)
                    pass
        except PeerFailed as error:
            broken = error
        stored = one.done + one.warned > 0
        retryable = (broken.retryable if broken else one.retryable) and not stored
        in_a_row = in_a_row + 1 if retryable else 0
        if broken is not None and in_a_row == _GIVE_UP:
            raise broken
        reason = one.reason if stored or broken is None else str(broken)
        now = replace(
            now,
            done=now.done + (one.done > 0),
            failed=now.failed + (not stored),
            warned=now.warned + (stored and not one.done),
            instance=ids["SOPInstanceUID"],
            reason=reason if stored else reason or one.answer or "the node sent nothing",
            retryable=retryable,
            series=ids.get("SeriesInstanceUID"),
            study=ids.get("StudyInstanceUID"),
        )
        yield now


async def instances_below(find: Find, level: Level, ids: Ids) -> list[dict[str, str]]:
    """List the instances of an entity by hierarchical queries, which every node answers (PS3.4 C.4.1.3.1.1).

    Parameters
    ----------
    find : callable
        Queries the node. Raises `PeerFailed`.
    level : Level
        Level of the entity.
    ids : mapping of str to str
        Its unique keys.

    Returns
    -------
    list of dict
        Unique keys of each instance.
    """
    if level is Level.INSTANCE:
        return [dict(ids)]
    below, keyword = _BELOW[level]
    tag, vr = _TAGS[keyword]
    keys: dict[str, Any] = {_TAGS[name][0]: {"vr": _TAGS[name][1], "Value": [value]} for name, value in ids.items()}
    found: list[dict[str, str]] = []
    for match in await find(below, keys | {tag: {"vr": vr}}):
        values = match.get(tag, {}).get("Value") or [None]
        if values[0]:
            found += await instances_below(find, below, {**ids, keyword: str(values[0])})
    return found
