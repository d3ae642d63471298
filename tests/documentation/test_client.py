"""The examples of the Python client's page run as printed, and its table names every operation."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurdicom.client import Client
from neurdicom.client.operations import ApiResource
from tests.support.checkout import CHECKOUT
from tests.support.images import ct_image
from tests.support.packages import package, zipped
from tests.support.server import Server

PAGE = (CHECKOUT / "docs" / "client.md").read_text(encoding="utf-8")
URL = "http://localhost:8080"


def test_the_examples(secured: Server, admin_token: str, tmp_path: Path) -> None:
    id, data = ct_image()
    (tmp_path / "study.zip").write_bytes(zipped({"image.dcm": data}))
    source = "class Plugin:\n    def process(self, ds, **_):\n        return ds.pixel_array"
    (tmp_path / "plugin.zip").write_bytes(package(source, plugin_guid="test.page"))
    blocking, asynchronous = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    printed = [run(example.replace(URL, secured.url), tmp_path, admin_token) for example in (blocking, asynchronous)]
    assert printed[0] == "done 1\n"
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert f"{id} None\n" in printed[1]
    assert "Test done\n" in printed[1]
    for path in (f"instances/{id}", "plugins/test.page"):  # the server is shared
        answer = secured.client.delete(f"/api/{path}", headers={"Authorization": f"Bearer {admin_token}"})
        assert answer.status_code == 204, answer.text


def run(script: str, folder: Path, token: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"NEURDICOM_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def operations(resource: ApiResource[Any]) -> set[str]:
    return {name for name in dir(resource) if not name.startswith("_") and callable(getattr(resource, name))}


@pytest.mark.parametrize("resource", ["client", "client.instances", "client.plugins", "client.models", "client.jobs"])
def test_the_table(resource: str) -> None:
    with Client(URL) as client:
        part = client if resource == "client" else getattr(client, resource.partition(".")[2])
        wanted = operations(part) - {"transport", "close"}
        for name in wanted:
            assert "Returns\n" in (inspect.getdoc(getattr(part, name)) or "") or name == "remove"
    (row,) = (line for line in PAGE.splitlines() if line.startswith("|") and f"`{resource}`" in line.split("|")[1])
    assert set(re.findall(r"(\w+)\([^)]*\)", row)) == wanted
