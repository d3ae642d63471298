"""The zoo's libraries and a few sample files, made once."""

from pathlib import Path

import pytest

from neurdicom.plugins.devtools.samples import write_samples
from tests.support.devtools import INCLUDE, ZOO, build


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample images by name."""
    samples = write_samples(tmp_path_factory.mktemp("samples"))
    return {sample.name: Path(sample.inputs[0].path) for sample in samples}


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The zoo's native plugins, and one of them built with the sanitizers."""
    folder = tmp_path_factory.mktemp("zoo")
    made = {name: folder / f"{name}.so" for name in ("zoo", "unfreed", "sanitized")}
    shared = ["-shared", "-fPIC", "-fvisibility=hidden", "-w", f"-I{INCLUDE}", "-o"]
    sanitize = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    build("c++", "-std=c++17", "-O1", *shared, made["zoo"], ZOO / "zoo.cpp")
    build("c++", "-std=c++17", *sanitize, *shared, made["sanitized"], ZOO / "zoo.cpp")
    build("cc", "-O1", *shared, made["unfreed"], ZOO / "unfreed.c")
    return made
