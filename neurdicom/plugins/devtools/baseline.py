"""The baseline of the speed check: a plain C loop over the same samples."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

#: Reads and writes each sample once; no plugin that reads every sample can be much faster.
SOURCE: Final = """
#include <stddef.h>
#include <stdlib.h>

typedef struct Plugin Plugin;

Plugin* InitPlugin(void) { return malloc(1); }

double* Process(Plugin* plugin, double* img, int width, int height, const char* params)
{
    const size_t count = (size_t)width * (size_t)height;
    (void)plugin, (void)params;
    for (size_t i = 0; i < count; ++i) img[i] = 4095.0 - img[i];
    return img;
}

void DestroyPlugin(Plugin* plugin) { free(plugin); }
"""


def build_baseline(folder: Path) -> Path | None:
    """Compile the plain loop as a plugin; None where there is no C compiler, and numpy takes its place."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, library = Path(scratch, "plain.c"), folder / "plain.so"
        source.write_text(SOURCE, encoding="ascii")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return library if done.returncode == 0 else None
