"""Native plugins of a few lines of C, as packages."""

import json
from pathlib import Path
from typing import Any

from tests.support.compiled import compile_library
from tests.support.packages import meta, zipped

#: All of a plugin but what it does.
NATIVE = """
#include "neurdicom_plugin.h"
#include <stdlib.h>
#include <string.h>
static char* text;
Plugin* InitPlugin(void) { return (Plugin*)malloc(1); }
void DestroyPlugin(Plugin* plugin) { free(plugin); }
const char* ResultJson(Plugin* plugin) { return text; }
"""
VOLUME = """double* ProcessVolume(Plugin* p, double* v, int w, int h, int d, const char* s) {
    free(text); text = strdup(s); for (int i = 0; i < w * h * d; ++i) v[i] += 1; return v; }"""
IMAGE = """double* Process(Plugin* p, double* v, int w, int h, const char* s) {
    free(text); text = strdup(s); v[0] = 7; return v; }"""


def native(folder: Path, guid: str, source: str, **fields: Any) -> bytes:
    """The archive of a native plugin of level series."""
    (folder / "p.c").write_text(NATIVE + source)
    library = compile_library(folder / "p.c")
    described = {"plugin_guid": guid, "level": "series", "input": "modality"} | fields
    return zipped({"META.json": json.dumps(meta(**described)), "p.so": library.read_bytes()})
