"""Servers and their processes that are killed while everything is done at once: nothing acknowledged is lost.

`make soak` runs hundreds of rounds. One that fails names its seed; `make soak SEED=...` makes the same choices again.
"""

import os
import random
import uuid
from pathlib import Path

import pytest

from tests.support.crash_quota import AGE, STORAGE, QuotaRounds
from tests.support.crashes import CrashRounds

#: Rounds on one data folder, after which another one is begun: a check takes as long as there are instances.
ON_ONE_FOLDER = 5

#: Of so many rounds of `make soak`, one more has a quota, by size and by age.
QUOTA_EACH = 10


@pytest.mark.parametrize(("catalog", "rounds"), [("sqlite", 3), ("mongodb", 2)])
def test_crashes(request: pytest.FixtureRequest, tmp_path: Path, catalog: str, rounds: int) -> None:
    seed, rounds = chosen(catalog, rounds)
    for folder in range(-(-rounds // ON_ONE_FOLDER)):
        with CrashRounds(tmp_path / str(folder), seed + folder, options_of(request, catalog)) as crashes:
            for _ in range(min(ON_ONE_FOLDER, rounds - folder * ON_ONE_FOLDER)):
                print(f"{catalog}: {crashes.run()}", flush=True)


@pytest.mark.parametrize("limits", [STORAGE, AGE], ids=["storage", "age"])
@pytest.mark.parametrize(("catalog", "rounds"), [("sqlite", 2), ("mongodb", 1)])
def test_crashes_with_a_quota(
    request: pytest.FixtureRequest, tmp_path: Path, catalog: str, rounds: int, limits: tuple[str, ...]
) -> None:
    seed, rounds = chosen(catalog, rounds, each=QUOTA_EACH)
    for folder in range(-(-rounds // ON_ONE_FOLDER)):
        with QuotaRounds(tmp_path / str(folder), seed + folder, limits, options_of(request, catalog)) as crashes:
            for _ in range(min(ON_ONE_FOLDER, rounds - folder * ON_ONE_FOLDER)):
                print(f"{catalog}, {limits[0]}: {crashes.run()}", flush=True)
            assert crashes.taken or rounds < ON_ONE_FOLDER, "the quota has deleted nothing"


def chosen(catalog: str, rounds: int, *, each: int = 1) -> tuple[int, int]:
    """Choose the seed and the number of rounds, which `make soak` sets; of those one of so many."""
    seed = int(os.environ.get("NEURDICOM_TEST_SOAK_SEED") or random.randrange(10**6))
    wanted = os.environ.get(f"NEURDICOM_TEST_SOAK_{catalog.upper()}")
    if wanted:
        rounds = -(-int(wanted) // each)
    if not rounds:
        pytest.skip("no rounds of this catalog are wanted")
    print(f"seed {seed}")
    return seed, rounds


def options_of(request: pytest.FixtureRequest, catalog: str) -> tuple[str, ...]:
    """Make the options of a server with a catalog of its own."""
    if catalog == "sqlite":
        return ()
    uri = request.getfixturevalue("mongodb_uri")
    return "--mongodb-uri", f"{uri.rstrip('/')}/crash_{uuid.uuid4().hex[:12]}"
