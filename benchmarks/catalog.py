"""The embedded catalog as it grows: what storing costs, and how long lists take.

    python -m benchmarks.catalog [STUDIES [INSTANCES_OF_EACH]]

The goals: the last tenth is stored as fast as the first; a page of 20,000 studies in a few milliseconds.
"""

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import orjson

from benchmarks.figures import record
from neurdicom.catalog.records import NewInstance, Page
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Between, Condition, Like, Query, Value

GROUP = 16
FAMILIES = ["DOE", "SMITH", "MÜLLER", "山田", "GARCIA", "NGUYEN", "KIM", "IVANOV", "ROSSI", "SILVA"]
_rng = random.Random(1)
HEADER = orjson.dumps({f"{n:08X}": {"vr": "LO", "Value": [f"value {_rng.random()}"]} for n in range(250)})


def instance(number: int, slice_number: int) -> NewInstance:
    """Make a CT slice of a study; two studies make a patient."""
    patient = number // 2
    person, study = random.Random(patient), random.Random(-number - 1)
    uid = f"1.2.826.0.1.3680043.10.1595.{number}.{10**20 + number}"
    date = f"{2005 + study.randrange(20)}{1 + study.randrange(12):02}{1 + study.randrange(28):02}"
    attributes: dict[str, Value] = {
        "patient_id": f"P{patient:07}",
        "patient_name": f"{person.choice(FAMILIES)}{person.randrange(2000)}^X{patient}=山田{patient}^太郎",
        "patient_birth_date": f"{1930 + person.randrange(80)}0{1 + person.randrange(9)}11",
        "patient_sex": person.choice("MF"),
        "study_instance_uid": uid,
        "study_date": date,
        "study_time": "101010.5",
        "accession_number": f"A{number:08}",
        "study_description": study.choice(["HEAD", "CHEST ROUTINE", "KNEE"]),
        "series_instance_uid": f"{uid}.1",
        "modality": study.choice(["CT", "MR", "US", "CR"]),
        "series_number": 1,
        "series_description": "axial",
        "sop_instance_uid": f"{uid}.1.{slice_number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "instance_number": slice_number,
        "acquisition_time": f"1010{10 + slice_number}",
        "image_type": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "rows": 512,
        "columns": 512,
        "image_position_patient": [1.0, 2.0, float(slice_number)],
        "image_orientation_patient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
    sha256 = hashlib.sha256(f"{number}.{slice_number}".encode()).hexdigest()
    key = hashlib.sha256(str(patient).encode()).hexdigest()[:32]
    layout = {"transfer_syntax": "1.2.840.10008.1.2.1", "rows": 512, "columns": 512, "pixel_offset": 1500}
    blob = BlobRef(f"objects/{sha256}", 530_000, sha256)
    received = "2024-01-01T00:00:00Z"
    sop = f"{uid}.1.{slice_number}"
    return NewInstance(key, uid, f"{uid}.1", sop, attributes, HEADER, blob, received, layout)


async def fill(catalog: SqliteCatalog, studies: int, each: int) -> None:
    """Store, and print the pace by tenths."""
    begun, spent, batch = time.perf_counter(), 0.0, []
    for number in range(studies):
        made = time.perf_counter()
        batch += [instance(number, one) for one in range(1, each + 1)]
        spent += time.perf_counter() - made
        while len(batch) >= GROUP:
            await catalog.store(batch[:GROUP])
            batch = batch[GROUP:]
        if (number + 1) % max(1, studies // 10) == 0:
            pace = studies // 10 * each / (time.perf_counter() - begun - spent)
            record("catalog: store", pace, "instances/s")
            print(f"store  {pace:6.0f} instances/s up to {(number + 1) * each}, {GROUP} in a transaction")
            begun, spent = time.perf_counter(), 0.0
    await catalog.store(batch)


async def timed(name: str, call: Callable[[], Awaitable[object]], count: int = 30) -> None:
    """Print the median time of a call."""
    times = []
    answer: object = await call()
    for _ in range(count):
        begun = time.perf_counter()
        answer = await call()
        times.append(time.perf_counter() - begun)
    total = f"of {answer.total}" if isinstance(answer, Page) else ""
    record(f"catalog: {name}", sorted(times)[count // 2] * 1e3, "ms")
    print(f"{sorted(times)[count // 2] * 1e3:8.3f} ms  {name} {total}")


async def lists(catalog: SqliteCatalog, studies: int) -> None:
    """Time the lists that a user asks for."""
    one = instance(studies // 3, 1)
    await timed("locate an instance", lambda: catalog.locate(one.instance))
    await timed("one study", lambda: catalog.get(Level.STUDY, one.study))
    await timed("headers of a series", lambda: catalog.headers(Level.SERIES, one.series))
    name, month = Like("patient_name", "doe1*"), Between("study_date", "20150101", "20150131")
    newest = (("study_date", True), ("study_time", True))
    queries: list[tuple[str, tuple[Condition, ...], tuple[tuple[str, bool], ...]]] = [
        ("first page", (), ()),
        ("newest first", (), newest),
        ("by name", (), (("patient_name", False),)),
        ("patient_id", (AnyOf("patient_id", (f"P{studies // 6:07}",)),), ()),
        ("patient_name=doe1*", (name,), ()),
        ("patient_name=*12^x*", (Like("patient_name", "*12^x*"),), ()),
        ("modalities=CT", (AnyOf("modalities", ("CT",)),), ()),
        ("a month, newest first", (month,), newest),
        ("name, month and modality", (name, month, AnyOf("modalities", ("CT",))), newest),
    ]
    for label, conditions, sort in queries:
        query = Query(Level.STUDY, conditions, sort)
        await timed(f"studies: {label}", partial(catalog.find, query))
    for label, conditions in (("rows=512", (AnyOf("rows", (512,)),)), ("patient_name=doe1*", (name,))):
        query = Query(Level.INSTANCE, conditions)
        await timed(f"instances: {label}", partial(catalog.find, query))


async def run(studies: int, each: int) -> None:
    """Fill a catalog and ask it."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = SqliteCatalog(Path(folder) / "catalog.sqlite")
        await catalog.open()
        try:
            await fill(catalog, studies, each)
            await lists(catalog, studies)
        finally:
            await catalog.close()


def main() -> None:
    """Take the sizes from the command line."""
    given = [int(one) for one in sys.argv[1:]]
    asyncio.run(run(*(given or [20_000]), *([] if len(given) > 1 else [10])))


if __name__ == "__main__":
    main()
