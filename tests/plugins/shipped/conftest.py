"""The shipped plugins, built, and real slices to run them on."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from threadpoolctl import threadpool_limits

from tests.support.checkout import CHECKOUT, HEADERS
from tests.support.compiled import contents, once, toolchain
from tests.support.pools import Pool
from tests.support.shipped import Shipped, Slice, read_slice

#: What our own flags leave out and a strict reader of the sources would not.
STRICT = "-O3 -Wall -Wextra -Werror -Wshadow -Wconversion -pedantic"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The libraries' threads would spend their time waiting for one another on a machine that has other work."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    """All shipped plugins, built in a folder of their own."""
    folder = tmp_path_factory.mktemp("shipped") / "plugins"
    shutil.copytree(CHECKOUT / "plugins", folder, ignore=shutil.ignore_patterns("build", "*.so"))
    neurdicom = f"{sys.executable} -m neurdicom"
    variables = [f"INCLUDE={HEADERS}", f"NEURDICOM={neurdicom}", f"CXXFLAGS={STRICT}"]
    command = ["make", "--silent", "-j2", "-C", str(folder), *variables]

    def make(libraries: Path) -> None:
        subprocess.run([*command, "libraries"], check=True)
        for library in folder.glob("*/*.so"):
            shutil.copy(library, libraries)

    sources = [folder / "Makefile", *folder.glob("*/*.[ch]pp"), *HEADERS.iterdir()]
    for library in once(toolchain("make", "c++") + STRICT.encode() + contents(*sources), make).iterdir():
        shutil.copy(library, folder / library.stem)
    subprocess.run(command, check=True)
    pool = Pool()
    yield Shipped(folder, pool)
    pool.close()


SLICES = {
    "CT_small": "CT_small.dcm",
    "MR_small": "MR_small.dcm",
    "CT": "series-ct-philips-tilt/I40",
    "EPI": "series-mr-ge-epi/axial_epi_fmri_interleaved_i_to_s-00030.dcm",
}


@pytest.fixture(params=SLICES)
def slice_(request: pytest.FixtureRequest) -> Slice:
    """Each of the real slices in turn: a CT, an MR, and larger ones of the developers' data set."""
    name = SLICES[request.param]
    if "/" in name:
        return read_slice(request.getfixturevalue("data_set") / name)
    return read_slice(Path(str(get_testdata_file(name))))


@pytest.fixture
def mr() -> Slice:
    """A small MR, for what takes long elsewhere."""
    return read_slice(Path(str(get_testdata_file("MR_small.dcm"))))
