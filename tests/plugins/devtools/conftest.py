"""The zoo's libraries and a few sample files, made once."""

from pathlib import Path

import pytest

from neurdicom.plugins.devtools.samples import write_samples
from tests.support.compiled import contents, once, toolchain
from tests.support.devtools import INCLUDE, ZOO, build


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample images by name."""
    samples = write_samples(tmp_path_factory.mktemp("samples"))
    return {sample.name: Path(sample.inputs[0].path) for sample in samples}


@pytest.fixture(scope="session")
def libraries() -> dict[str, Path]:
    """The zoo's native plugins, and one of them built with the sanitizers."""
    shared = ["-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-w", f"-I{INCLUDE}"]
    sanitize = ["-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"]
    commands = {
        "zoo": ["c++", "-std=c++17", *shared, ZOO / "zoo.cpp"],
        "sanitized": ["c++", "-std=c++17", *shared, *sanitize, ZOO / "zoo.cpp"],
        "unfreed": ["cc", *shared, ZOO / "unfreed.c"],
    }

    def make(folder: Path) -> None:
        for name, command in commands.items():
            build(*command, "-o", folder / f"{name}.so")

    key = repr(commands).encode() + toolchain("cc", "c++") + contents(*ZOO.iterdir(), *INCLUDE.iterdir())
    folder = once(key, make)
    return {name: folder / f"{name}.so" for name in commands}
