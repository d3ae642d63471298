"""Volumes run in a pool, for the tests of the worker runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from neurdicom.dicom.geometry.planes import FIELDS
from neurdicom.dicom.part10 import read_header
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.pool import Program, Reply
from neurdicom.workers.pool_executor import PoolExecutor
from tests.support.pools import Pool
from tests.support.series import write

FRAME = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>
static char* text;
Plugin* InitPlugin(void) { return (Plugin*)malloc(1); }
void DestroyPlugin(Plugin* plugin) { free(plugin); free(text); text = 0; }
#define VOLUME double* ProcessVolume(Plugin* p, double* v, int w, int h, int d, const char* s)
"""
#: Gives the volume as it is, and its parameters as JSON.
ASIS = FRAME + "VOLUME { free(text); text = strdup(s); return v; } const char* ResultJson(Plugin* p) { return text; }"


def inputs_of(folder: Path, files: Sequence[Dataset | Path]) -> tuple[Input, ...]:
    """Return files as the catalog would describe them."""
    made = []
    for ds in files:
        path = ds if isinstance(ds, Path) else write(ds, folder)
        header = read_header(path)
        known = {name: header.attributes.get(name) for name in FIELDS if name != "series"}
        known["series"] = header.attributes["series_instance_uid"]
        made.append(Input(header.ids[3], str(path), "", header.layout.to_document(), None, (), known))
    return tuple(made)


class VolumeRunner:
    """Runs volumes in the pool that the tests of a module share."""

    def __init__(self, shared: Pool, folder: Path) -> None:
        self._shared = shared
        self.executor = shared.run(self._make())
        self.folder = folder

    async def _make(self) -> PoolExecutor:
        return PoolExecutor(self._shared.pool)

    def __call__(self, program: Program, files: Sequence[Any], format: str = "f64", **fields: Any) -> Reply:
        inputs = inputs_of(self.folder, files)
        return self._shared.run(self.executor.run(Task(program, inputs, format=format, volume=True, **fields)))


def samples(reply: Reply) -> Any:
    return np.frombuffer(reply.body, reply.meta["dtype"]).reshape(reply.meta["shape"])
