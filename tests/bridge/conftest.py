"""Libraries for the bridge's tests. Whatever could crash is tested in a worker process, by tests/workers."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.compiled import compile_library

#: Enough of a plugin for a test that is about something else.
FRAME = """
#include <stdlib.h>
Plugin* InitPlugin(void) { return (Plugin*)malloc(1); }
void DestroyPlugin(Plugin* plugin) { free(plugin); }
"""


@pytest.fixture
def library(tmp_path: Path) -> Callable[..., Path]:
    """Compile source, C by default, into a shared library."""

    def make(source: str, *, frame: bool = True, name: str = "plugin.c", flags: tuple[str, ...] = ()) -> Path:
        path = tmp_path / name
        text = '#include "neurdicom_plugin.h"\n' + (FRAME if frame else "") + textwrap.dedent(source)
        path.write_text(text)
        return compile_library(path, "-O2", *flags)

    return make
