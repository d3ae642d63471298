"""Servers and their processes that are killed while everything is done at once: nothing acknowledged is lost.

`make soak` runs hundreds of rounds. One that fails names its seed; `make soak SEED=...` makes the same choices again.
"""

import os
import random
import uuid
from pathlib import Path

import pytest

from tests.support.crashes import CrashRounds

#: Rounds on one data folder, after which another one is begun: a check takes as long as there are instances.
ON_ONE_FOLDER = 5


@pytest.mark.parametrize(("catalog", "rounds"), [("sqlite", 3), ("mongodb", 2)])
def test_crashes(request: pytest.FixtureRequest, tmp_path: Path, catalog: str, rounds: int) -> None:
    seed = int(os.environ.get("NEURDICOM_TEST_SOAK_SEED") or random.randrange(10**6))
    rounds = int(os.environ.get(f"NEURDICOM_TEST_SOAK_{catalog.upper()}") or rounds)
    if not rounds:
        pytest.skip("no rounds of this catalog are wanted")
    options: tuple[str, ...] = ()
    print(f"seed {seed}")
    for folder in range(-(-rounds // ON_ONE_FOLDER)):
        if catalog == "mongodb":
            uri = request.getfixturevalue("mongodb_uri")
            options = ("--mongodb-uri", f"{uri.rstrip('/')}/crash_{uuid.uuid4().hex[:12]}")
        with CrashRounds(tmp_path / str(folder), seed + folder, options) as crashes:
            for _ in range(min(ON_ONE_FOLDER, rounds - folder * ON_ONE_FOLDER)):
                print(f"{catalog}: {crashes.run()}", flush=True)
