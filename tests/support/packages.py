"""Plugin archives for the tests, made in memory."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

PLUGIN = """
class Plugin:
    def init(self):
        pass

    def process(self, ds=None, *args, **kwargs):
        return {"version": %r, "kwargs": kwargs}

    def destroy(self):
        pass
"""


def meta(**fields: Any) -> dict[str, Any]:
    """A META.json with the required fields; None leaves one away."""
    made = {"plugin_guid": "test.plugin", "name": "Test", "author": "Tests", **fields}
    return {key: value for key, value in made.items() if value is not None}


def zipped(files: Mapping[Any, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of files, in order; keys are names or `ZipInfo`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data, compress_type=compression)
    return made.getvalue()


def package(
    source: str = PLUGIN % "1", *, top: str = "", files: Mapping[str, str | bytes] | None = None, **fields: Any
):
    """The ZIP of a Python plugin, below a folder `top` where one is given."""
    content = {"META.json": json.dumps(meta(**fields)), "plugin.py": source, **(files or {})}
    return zipped({top + name: data for name, data in content.items()})
