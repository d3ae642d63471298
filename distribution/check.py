"""`make dist`: build the sdist, and from it the wheel; look into both; run the wheel's server outside the checkout.

It needs the network, for what builds and for what the wheel depends on.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import venv
import zipfile
from email import message_from_string
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

#: Ends of names of what a wheel must have; templates, headers and the CMake package are what plugin authors copy.
IN_WHEEL = (
    "neurdicom/py.typed",
    "neurdicom/plugins/devtools/include/neurdicom_plugin.h",
    "neurdicom/plugins/devtools/include/neurdicom_plugin.hpp",
    "neurdicom/plugins/devtools/cmake/NeurDICOMConfig.cmake",
    ".dist-info/licenses/LICENSE",
    ".dist-info/entry_points.txt",
)
#: Beginnings of names of extensions that a wheel must have, and of folders that it must have something in.
EXTENSIONS = ("neurdicom/_bridge.", "neurdicom/_pixels.")
FOLDERS = ("neurdicom/plugins/devtools/templates/",)
#: What a build from the sdist needs, and what a packager expects, below its one folder.
IN_SDIST = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "bridge/_bridge.pyx",
    "bridge/_pixels.pyx",
    "bridge/abi.pxd",
    "bridge/result.pxi",
    "bridge/guarded.hpp",
    "bridge/reading.hpp",
    "bridge/scaling.hpp",
    "bridge/watch.hpp",
    "bridge/include/neurdicom_plugin.h",
    "neurdicom/__init__.py",
)
#: What no distribution has.
UNWANTED = ("tests/", "benchmarks/", ".venv/", "__pycache__/", "shared/", "neurdicom-data/")


def faults_of_wheel(names: list[str], metadata: str, version: str) -> list[str]:
    """Say what a wheel lacks, has too much, or describes wrongly.

    Parameters
    ----------
    names : list of str
        Its files.
    metadata : str
        Its METADATA.
    version : str
        The version that it should have.
    """
    faults = [f"{end} is missing" for end in IN_WHEEL if not any(name.endswith(end) for name in names)]
    faults += [f"{start}*.so is missing" for start in EXTENSIONS if not _any(names, start, ".so")]
    faults += [f"nothing lies in {folder}" for folder in FOLDERS if not _any(names, folder)]
    faults += [f"{name} is no part of a wheel" for name in names if name.startswith(UNWANTED) or "__pycache__/" in name]
    fields = message_from_string(metadata)
    if fields["Version"] != version:
        faults.append(f"its version is {fields['Version']}, and neurdicom/__init__.py has {version}")
    faults += [
        f"its metadata has no {name}"
        for name in ("Summary", "Requires-Python", "License-Expression")
        if not fields[name]
    ]
    if fields["Description-Content-Type"] != "text/markdown" or not fields.get_payload():
        faults.append("its metadata has no description in Markdown")
    return faults


def faults_of_sdist(names: list[str]) -> list[str]:
    """Say what an sdist lacks or has too much."""
    inner = [name.partition("/")[2] for name in names]
    faults = [f"{name} is missing" for name in IN_SDIST if name not in inner]
    return faults + [
        f"{name} is no part of an sdist" for name in inner if name.startswith(UNWANTED) or "__pycache__/" in name
    ]


def version_of(checkout: Path = CHECKOUT) -> str:
    """Read the version that the checkout has."""
    text = (checkout / "neurdicom" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist from the checkout and the wheel from the sdist; gives the sdist's path, and the wheel's."""
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(CHECKOUT)], check=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def start(wheel: Path, folder: Path) -> None:
    """Install the wheel into an environment of its own and start its server there, with an empty data folder."""
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    subprocess.run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    command = [str(environment / "bin" / "neurdicom"), "serve", "--port", "0", "--data", str(folder / "data")]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("NEURDICOM_", "PYTHON"))}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        health = f"{_url(folder / 'log', server)}/api/health"
        with urllib.request.urlopen(health, timeout=10) as answer:
            print(f"{health}: {json.load(answer)}")
        for option in ("include-dir", "cmake-dir"):
            printed = subprocess.check_output([command[0], "plugin", option], cwd=folder, env=variables, text=True)
            if not Path(printed.strip()).is_relative_to(environment):
                raise SystemExit(f"`neurdicom plugin {option}` is {printed.strip()}, and not in {environment}")
        subprocess.run(
            [command[0], "plugin", "new", "tried", "--language", "cpp"], cwd=folder, env=variables, check=True
        )
    finally:
        server.terminate()
        server.wait(30)


def main() -> None:
    """Build both, look at them, and try the wheel."""
    parser = argparse.ArgumentParser(prog="make dist", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / "dist")
    folder = parser.parse_args().folder
    for path in folder.glob("neurdicom-*"):
        path.unlink()
    sdist, wheel = build(folder)
    with tarfile.open(sdist) as archive:
        faults = [f"{sdist.name}: {fault}" for fault in faults_of_sdist(archive.getnames())]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    faults += [f"{wheel.name}: {fault}" for fault in faults_of_wheel(names, metadata, version_of())]
    if faults:
        raise SystemExit("\n".join(faults))
    with tempfile.TemporaryDirectory() as outside:
        start(wheel, Path(outside))
    print(f"good: {sdist}\n      {wheel}")


def _any(names: list[str], start: str, end: str = "") -> bool:
    return any(name.startswith(start) and name.endswith(end) for name in names)


def _url(log: Path, server: subprocess.Popen[bytes]) -> str:
    """Wait for the address that the server prints."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        for word in log.read_text(encoding="utf-8").split():
            if word.startswith("http://"):
                return word
        time.sleep(0.1)
    raise SystemExit(f"the server printed no address:\n{log.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    main()
