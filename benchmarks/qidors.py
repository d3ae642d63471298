"""Searches in an archive of many studies: QIDO-RS and the REST list, against QIDO-RS of Orthanc with its plugin.

    python -m benchmarks.qidors [--studies 20000] [--seconds 4] [--connections 4]

Both servers hold the same files, one small image a study, with names and dates as an archive has them. wrk asks for
other values each time, so that no cache of answers helps.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.data import dicom_bytes
from benchmarks.figures import record
from benchmarks.servers import neurdicom, orthanc
from benchmarks.upload import UploadConnection
from benchmarks.wrk import requests_per_second

GOAL = 10.0
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_UPLOADS = 8
_FAMILIES = [
    "ANDERSON",
    "BECKER",
    "CARVALHO",
    "DUBOIS",
    "ERIKSSON",
    "FERRARI",
    "GARCIA",
    "HOFFMANN",
    "IVANOV",
    "JENSEN",
]
_DESCRIPTIONS = ["CT HEAD", "CT CHEST ROUTINE", "MR KNEE LEFT", "MR SPINE", "US ABDOMEN"]


def studies(count: int) -> Iterator[bytes]:
    """Give one small file of each study; two studies make a patient."""
    for number in range(count):
        person, study = random.Random(number // 2), random.Random(-number - 1)
        family = f"{person.choice(_FAMILIES)}{person.randrange(1000):03}"
        description = study.choice(_DESCRIPTIONS)
        yield dicom_bytes(
            study=number,
            PatientID=f"P{number // 2:07}",
            PatientName=f"{family}^X{number // 2:05}",
            PatientBirthDate=f"{1930 + person.randrange(80)}0{1 + person.randrange(9)}11",
            PatientSex=person.choice("MF"),
            StudyDate=f"{2005 + study.randrange(20)}{1 + study.randrange(12):02}{1 + study.randrange(28):02}",
            StudyTime=f"{study.randrange(24):02}1500",
            AccessionNumber=f"A{number:08}",
            StudyDescription=description,
            Modality=description[:2],
        )


def load(port: int, path: str, count: int) -> float:
    """Upload all studies; files a second."""
    files, lock = studies(count), threading.Lock()
    failures: list[Exception] = []

    def send() -> None:
        try:
            connection = UploadConnection(port, path)
            while True:
                with lock:
                    some = list(islice(files, 50))
                if not some:
                    break
                for file in some:
                    connection.post(file, memoryview(b""))
            connection.close()
        except Exception as error:
            failures.append(error)

    begun = time.perf_counter()
    threads = [threading.Thread(target=send) for _ in range(_UPLOADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return count / (time.perf_counter() - begun)


def searches(count: int) -> dict[str, list[str]]:
    """Make the QIDO-RS queries that are timed, each with other values in turn."""
    rng = random.Random(3)
    numbers = [rng.randrange(count) for _ in range(500)]
    return {
        "PatientID": [f"?PatientID=P{number // 2:07}" for number in numbers],
        "name with a wildcard": [f"?PatientName=*{family[1:]}{n:03}*" for n, family in enumerate(_FAMILIES * 20)],
        "beginning of a name": [f"?PatientName={family}{n:03}*" for n, family in enumerate(_FAMILIES * 20)],
        "a day": [f"?StudyDate={2005 + n % 20}{1 + n % 12:02}{1 + n % 28:02}" for n in range(500)],
        "modality in a month": [
            f"?ModalitiesInStudy=MR&StudyDate={2005 + n % 20}{1 + n % 12:02}01-{2005 + n % 20}{1 + n % 12:02}28"
            for n in range(240)
        ],
        "first page of 100": ["?limit=100"],
        "OHIF's first page": ["?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"],
    }


def main() -> None:
    """Load both servers, ask them in turn, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--only", choices=("neurdicom", "orthanc"), help="leave the other out, to profile one")
    given = parser.parse_args()
    if given.only != "neurdicom" and not _PLUGIN.exists():
        sys.exit(f"{_PLUGIN} is missing (Debian: apt-get install orthanc-dicomweb)")
    rates: dict[str, dict[str, float]] = {}
    settings = {"Plugins": [str(_PLUGIN)], "DicomWeb": {"Enable": True}, "SyncStorageArea": False}
    with tempfile.TemporaryDirectory() as folder:
        for name, server, path in (
            ("Orthanc", lambda data: orthanc(data, **settings), "/instances"),
            ("NeurDICOM", neurdicom, "/api/instances"),
        ):
            if given.only not in (None, name.lower()):
                continue
            with server(Path(folder) / name.lower()) as port:
                print(f"{name}: {load(port, path, given.studies):.0f} files/s stored", flush=True)
                base = f"http://127.0.0.1:{port}"
                found = searches(given.studies).items()
                asked = {label: [f"{base}/dicom-web/studies{q}" for q in each] for label, each in found}
                # The REST list of studies against the other's page of the same by QIDO-RS.
                rest = "/api/studies?limit=100" if name == "NeurDICOM" else "/dicom-web/studies?limit=100"
                for label, urls in {**asked, "REST list of 100": [base + rest]}.items():
                    rate = requests_per_second(urls, connections=given.connections, seconds=given.seconds)
                    rates.setdefault(label, {})[name] = rate
                    record(f"QIDO-RS: {name}, {label}", rate, "answers/s")
                    print(f"{name:10} {rate:8.1f}/s  {label}", flush=True)
    for label, each in rates.items():
        if each.get("Orthanc") and "NeurDICOM" in each:
            ratio = each["NeurDICOM"] / each["Orthanc"]
            print(f"{label}: {ratio:.1f} x Orthanc (goal {GOAL:g}, {given.studies} studies)")


if __name__ == "__main__":
    main()
