"""Labels of deleted entities: they go to the trash, are restored, and are deleted for good with these."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.labels.service import LabelService
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.trash.service import Deletion, TrashService
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable
from neurdicom.testing.faults import Fault
from tests.support.archive import ArchiveSite
from tests.support.archive import archive as open_archive
from tests.support.archive_client import Archive
from tests.support.colliding import CollidingInstance, collision, instance
from tests.support.labels import LEVELS, counts, found, give, ids_of, labels_of, own
from tests.support.no_results import NoResults
from tests.support.server import Server


@pytest.fixture(scope="module")
def archive(any_server: Server) -> Iterator[Archive]:
    """The server on each catalog; every test works with labels, patients and UIDs of its own."""
    yield Archive(any_server)


def labelled(archive: Archive, file: bytes, label: str) -> dict[str, str]:
    """Store a file, and label its instance and all entities above; returns their ids."""
    ids = ids_of(archive, archive.store(file))
    for level, many in LEVELS.items():
        give(archive, f"/{many}/{ids[level]}", label)
    return ids


def delete(archive: Archive, level: str, id: str) -> str:
    """Delete an entity; the id of its entry of the trash."""
    archive.delete(f"/{LEVELS[level]}/{id}")
    return str(archive.get("/trash").json()[0]["id"])


def restore(archive: Archive, entry: str) -> None:
    answer = archive.client.post(f"/api/trash/{entry}/restore")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("level", LEVELS)
def test_labels_go_along_and_come_back_beside_those_given_meanwhile(archive: Archive, level: str) -> None:
    label, meanwhile, one = own(), own(), instance()
    ids = labelled(archive, one.file, label)
    entry = delete(archive, level, ids[level])  # with the parents, which are left empty
    assert counts(archive, label) is None
    assert all(found(archive, f"/{many}", label) == [] for many in LEVELS.values())
    archive.store(one.file)
    assert labels_of(archive, ids) == {key: [] for key in ids}, "what arrives anew has no labels"
    give(archive, f"/studies/{ids['study']}", meanwhile)
    restore(archive, entry)
    both = {name: sorted([label, *([meanwhile] if name == "study" else [])]) for name in ids}
    assert labels_of(archive, ids) == both
    assert counts(archive, label) == dict.fromkeys(LEVELS.values(), 1)
    assert found(archive, "/studies", meanwhile) == [ids["study"]]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_what_stays_keeps_its_labels(archive: Archive, level: str) -> None:
    label, one = own(), instance()
    ids = labelled(archive, one.file, label)
    above = {name: id for name, id in ids.items() if list(LEVELS).index(name) < list(LEVELS).index(level)}
    keywords = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
    other = instance(**{keyword: one.dataset[keyword].value for name, keyword in keywords.items() if name in above})
    others = ids_of(archive, archive.store(other.file))
    entry = delete(archive, level, ids[level])
    assert labels_of(archive, above) == {key: [label] for key in above}
    below = {name: id for name, id in others.items() if name not in above}
    assert labels_of(archive, below) == {key: [] for key in below}
    for name in above:
        archive.delete(f"/{LEVELS[name]}/{ids[name]}/labels/{label}")
    restore(archive, entry)
    expected = {name: [] if name in above else [label] for name in ids}
    assert labels_of(archive, ids) == expected, "a label that was taken away meanwhile stays away"


@pytest.mark.parametrize("how", ["purge", "empty"])
def test_labels_of_what_is_deleted_for_good_do_not_come_back(archive: Archive, how: str) -> None:
    label, one = own(), instance()
    ids = labelled(archive, one.file, label)
    if how == "purge":
        archive.delete(f"/patients/{ids['patient']}?purge=true")
    else:
        archive.delete(f"/trash/{delete(archive, 'patient', ids['patient'])}")
    assert counts(archive, label) is None
    archive.store(one.file)
    assert labels_of(archive, ids) == {key: [] for key in ids}


@pytest.mark.parametrize("is_purged", [False, True])
def test_the_other_entity_of_a_uid_keeps_its_labels(archive: Archive, is_purged: bool) -> None:
    label, made = own(), collision("PatientID")
    for one in made.both:
        archive.store(one.file)
    for one in made.both:
        for level in ("study", "series", "instance"):
            give(archive, f"/{LEVELS[level]}/{one.key(level)}", label)
    first, second = made.both
    archive.delete(f"/studies/{first.key('study')}?purge={str(is_purged).lower()}")
    keys = {level: second.key(level) for level in ("study", "series", "instance")}
    assert labels_of(archive, keys) == {key: [label] for key in keys}
    assert counts(archive, label) == {"patients": 0, "studies": 1, "series": 1, "instances": 1}
    if not is_purged:
        restore(archive, archive.get("/trash").json()[0]["id"])
        assert counts(archive, label) == {"patients": 0, "studies": 2, "series": 2, "instances": 2}


def test_labels_of_before_the_patient_was_known_go_along(archive: Archive) -> None:
    label, unnamed = own(), instance(PatientID=None)
    ids = labelled(archive, unnamed.file, label)
    named = instance(StudyInstanceUID=unnamed.uid("study"))
    archive.store(named.file)
    now = ids | {"patient": named.patient}
    assert labels_of(archive, now) == {key: [label] for key in now}
    entry = delete(archive, "study", now["study"])
    assert counts(archive, label) is None
    restore(archive, entry)
    assert labels_of(archive, now) == {key: [label] for key in now}


def test_a_patient_keeps_the_label_of_before_when_that_study_is_deleted(archive: Archive) -> None:
    label, unnamed = own(), instance(PatientID=None)
    ids = labelled(archive, unnamed.file, label)
    named = instance(StudyInstanceUID=unnamed.uid("study"))
    other = instance(PatientID=named.dataset.PatientID)
    for one in (named, other):
        archive.store(one.file)
    patient = {"patient": named.patient}
    assert labels_of(archive, patient) == {"patient": [label]}
    delete(archive, "study", ids["study"])
    assert labels_of(archive, patient) == {"patient": [label]}


# -- a crash at any step -------------------------------------------------------------------------------------


class TrashSite:
    """The services of a process on a folder; made anew, they are those of the next process."""

    def __init__(self, stored: ArchiveSite) -> None:
        garbage = GarbageCollector(stored.catalog, stored.blobs)
        results, guard, checker = NoResults(has_trash=True), stored.guard, stored.checker
        self.trash = TrashService(stored.catalog, stored.blobs, garbage, results, guard, checker, 30.0)
        self.remove = RemoveService(stored.catalog, garbage, self.trash, NoResults(has_trash=True))
        self.labels = LabelService(stored.catalog)


async def cut_short(work: Callable[[], Awaitable[Any]], catalog: Catalog, step: int) -> bool:
    """Run work whose writes have no effect from a certain one on; returns False if it has fewer."""
    verbs = [(catalog.documents, verb) for verb in ("put", "delete", "swap")]
    count = 0

    def is_late(*_: object) -> bool:
        nonlocal count
        count += 1
        return count > step

    with ExitStack() as faults:
        for target, verb in (*verbs, (catalog, "delete"), (catalog, "store")):
            faults.enter_context(Fault(target, verb, Unavailable("killed"), calls=is_late))
        with suppress(Unavailable):
            await work()
    return count > step


async def next_process(stored: ArchiveSite) -> TrashSite:
    """Start the services anew on the data that a crash has left."""
    site = TrashSite(stored)
    await site.trash.open()
    await site.trash.close()
    return site


async def shown(site: TrashSite, one: CollidingInstance) -> list[list[str]]:
    """The labels of an instance, and of what is above it; empty lists for what is gone."""
    levels = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
    names = [one.patient, *(one.key(level) for level in ("study", "series", "instance"))]
    labels = []
    for level, name in zip(levels, names, strict=True):
        try:
            labels.append(await site.labels.of(level, name))
        except NotFound:
            labels.append([])
    return labels


ALL, NONE = [["a"]] * 4, [[]] * 4


@pytest.mark.parametrize("what", ["delete", "restore", "empty", "purge"])
def test_labels_are_where_their_entity_is_after_a_crash_at_any_write(tmp_path: Path, what: str) -> None:
    one, by = instance(), Deletion()

    async def crash(stored: ArchiveSite, step: int) -> bool:
        site = TrashSite(stored)
        assert (await stored.add(one.file)).status == "stored"
        for level, name in zip(Level, [one.patient, *(one.key(each.value) for each in list(Level)[1:])], strict=True):
            await site.labels.give(level, name, "a", user=None)
        entry = "" if what in ("delete", "purge") else (await site.trash.delete(Level.STUDY, one.key("study"), by)).id
        work: dict[str, Callable[[], Awaitable[Any]]] = {
            "delete": lambda: site.trash.delete(Level.STUDY, one.key("study"), by),
            "restore": lambda: site.trash.restore(entry),
            "empty": lambda: site.trash.empty(entry),
            "purge": lambda: site.remove.delete(Level.STUDY, one.key("study"), by, purge=True),
        }
        is_cut_short = await cut_short(work[what], stored.catalog, step)
        await site.trash.close()
        await stored.ingest.recover()
        site = await next_process(stored)
        await check(stored, site, is_cut_short=is_cut_short)
        return is_cut_short

    async def check(stored: ArchiveSite, site: TrashSite, *, is_cut_short: bool) -> None:
        entries, _ = await site.trash.page(limit=10)
        is_there = await stored.catalog.get(Level.STUDY, one.key("study")) is not None
        assert is_there + len(entries) == int(is_cut_short or what in ("delete", "restore")) or not is_there
        assert await shown(site, one) == (ALL if is_there else NONE)
        assert (await site.labels.page(limit=10))[1] == int(is_there)
        if not is_there:
            assert (await stored.add(one.file)).status == "stored"
            assert await shown(site, one) == NONE
        for entry in entries:
            await site.trash.restore(entry.id)
            assert await shown(site, one) == ALL
        notes = await stored.catalog.documents.query("label_aside")
        assert notes.items == []

    async def go() -> None:
        for step in range(100):
            async with open_archive(tmp_path / str(step)) as stored:
                if not await crash(stored, step):
                    assert step > 2
                    return
        raise AssertionError("there is no end of writes")

    asyncio.run(go())


@pytest.mark.parametrize("what", ["give", "take"])
def test_the_list_of_labels_has_those_in_use_after_a_crash_at_any_write(tmp_path: Path, what: str) -> None:
    one = instance()

    async def crash(stored: ArchiveSite, step: int) -> bool:
        site, study = TrashSite(stored), one.key("study")
        await stored.add(one.file)
        if what == "take":
            await site.labels.give(Level.STUDY, study, "a", user=None)
        work: dict[str, Callable[[], Awaitable[Any]]] = {
            "give": lambda: site.labels.give(Level.STUDY, study, "a", user=None),
            "take": lambda: site.labels.take(Level.STUDY, study, "a"),
        }
        is_cut_short = await cut_short(work[what], stored.catalog, step)
        site = await next_process(stored)
        uses, _ = await site.labels.page(limit=10)
        assert [use.label for use in uses] == await site.labels.of(Level.STUDY, study)
        return is_cut_short

    async def go() -> None:
        for step in range(100):
            async with open_archive(tmp_path / str(step)) as stored:
                if not await crash(stored, step):
                    return
        raise AssertionError("there is no end of writes")

    asyncio.run(go())


def test_a_label_that_is_given_while_its_study_is_deleted_is_not_lost(tmp_path: Path) -> None:
    one = instance()

    async def go() -> None:
        async with open_archive(tmp_path) as stored:
            for delay in range(12):
                site = TrashSite(stored)
                await stored.add(one.file)

                async def give_late(site: TrashSite = site, delay: int = delay) -> bool:
                    for _ in range(delay):
                        await asyncio.sleep(0.0005)
                    try:
                        await site.labels.give(Level.STUDY, one.key("study"), "late", user=None)
                    except NotFound:
                        return False
                    return True

                entry, is_given = await asyncio.gather(
                    site.trash.delete(Level.STUDY, one.key("study"), Deletion()), give_late()
                )
                assert (await site.labels.page(limit=10))[1] == 0
                await site.trash.restore(entry.id)
                # The refused label may have gone to the trash as well.
                assert not is_given or await site.labels.of(Level.STUDY, one.key("study")) == ["late"]
                await site.remove.delete(Level.STUDY, one.key("study"), purge=True)

    asyncio.run(go())
