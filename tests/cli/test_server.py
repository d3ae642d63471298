"""`neurdicom plugin install | list | remove` with a running server."""

from pathlib import Path

import pytest

from neurdicom.errors import NeurdicomError, Unavailable
from tests.support.devtools import invoke, python_plugin
from tests.support.server import Server, free_port


def test_a_plugin_comes_and_goes(server: Server, tmp_path: Path) -> None:
    path = python_plugin(tmp_path / "plugin", "return {'n': 1}", plugin_guid="org.example/ä 1".replace("/", "."))
    where = ["--server", server.url]
    assert invoke("install", path, *where) == (0, "installed zoo 1 (org.example.ä 1)\n")
    assert "org.example.ä 1\tzoo\t1\tpython\tready\n" in invoke("list", *where)[1]
    status, output = invoke("pack", path, "-o", tmp_path / "plugin.zip")
    assert status == 0, output
    assert invoke("install", tmp_path / "plugin.zip", *where)[0] == 0
    assert invoke("remove", "org.example.ä 1", *where) == (0, "removed org.example.ä 1\n")
    assert "org.example" not in invoke("list", *where)[1]
    with pytest.raises(NeurdicomError, match="org"):
        invoke("remove", "org.example.ä 1", *where)


def test_what_the_server_refuses_is_told(server: Server, tmp_path: Path) -> None:
    path = python_plugin(tmp_path / "plugin", "import there_is_none\n\n\nclass Plugin:\n    pass\n")
    with pytest.raises(NeurdicomError, match="there_is_none"):
        invoke("install", path, "--server", server.url)
    with pytest.raises(Unavailable, match="does not answer"):
        invoke("list", "--server", f"http://127.0.0.1:{free_port()}")


def test_a_token_opens_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(tmp_path / "data", auth=True) as closed:
        with pytest.raises(NeurdicomError):
            invoke("list", "--server", closed.url)
        monkeypatch.setenv("NEURDICOM_TOKEN", "not-a-token")
        with pytest.raises(NeurdicomError):
            invoke("list", "--server", closed.url)
