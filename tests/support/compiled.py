"""Libraries that tests compile: each once for all processes and sessions of the tests, until its source changes."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.checkout import CHECKOUT, HEADERS

CACHE = CHECKOUT / ".pytest_cache" / "compiled"


def once(key: bytes, make: Callable[[Path], None]) -> Path:
    """Give the folder that `make` has filled for a key, by whichever process came first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / hashlib.sha256(key).hexdigest()
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = Path(tempfile.mkdtemp(dir=CACHE))
            make(unfinished)
            unfinished.rename(folder)
    return folder


def contents(*paths: Path) -> bytes:
    """Names and contents of files, for a key."""
    return b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in sorted(paths))


def toolchain(*names: str) -> bytes:
    """Programs and when they were installed, for a key; each must be there."""
    found = [Path(shutil.which(name) or name).resolve() for name in names]
    return repr([(str(path), path.stat().st_mtime_ns) for path in found]).encode()


def compile_library(source: Path, *flags: str) -> Path:
    """Compile C or C++, by the suffix, to a shared library beside its source; the public header is found."""
    compiler = "c++" if source.suffix == ".cpp" else "cc"
    library = source.with_suffix(".so")
    command = [compiler, "-shared", "-fPIC", f"-I{HEADERS}", *flags]

    def make(folder: Path) -> None:
        subprocess.run([*command, "-o", str(folder / library.name), str(source)], check=True)

    key = repr(command).encode() + toolchain(compiler) + contents(source, *HEADERS.iterdir())
    # A new file in the place of an earlier one, as a linker makes it: a worker may have that mapped.
    copy = Path(shutil.copy(once(key, make) / library.name, f"{library}.new"))
    return copy.replace(library)
