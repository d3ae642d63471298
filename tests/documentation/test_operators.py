"""The operators' pages: what they have typed works, and what they name is there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neurdicom.config import load_settings
from tests.support.api import upload
from tests.support.checkout import CHECKOUT
from tests.support.images import ct_image
from tests.support.packages import package
from tests.support.plugin_site import Site
from tests.support.server import Server

DOCS = CHECKOUT / "docs"
DEPLOY = CHECKOUT / "deploy"


def blocks(page: str, heading: str) -> Iterator[str]:
    """Shell blocks below a heading of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def run_in(folder: Path, script: str, **folders: Path) -> str:
    for name, path in folders.items():
        script, count = re.subn(rf"\b{name}=\S+", f"{name}={path}", script)
        assert count == 1, name
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_backup_upgrade_and_restore(tmp_path: Path) -> None:
    """Back up a running server, restore and upgrade it: users, plugins, and images later than the first backup."""
    (backup,) = blocks("backup.md", "Backup")
    (restore,) = blocks("backup.md", "Restore")
    where = {"DATA": tmp_path / "data", "BACKUP": tmp_path / "backup"}
    build, install, look = upgrade_steps(tmp_path)
    with Server(where["DATA"]) as server:
        first, data = ct_image()
        assert upload(server.client, data)["status"] == "stored"
        assert Site(server, first).install(package()).status_code == 201
        account = {"email": "ann@example.org", "password": "correct horse"}
        assert server.client.post("/api/users", json=account).status_code == 201
        assert "1 files " in run_in(tmp_path, backup, **where)
        later, data = ct_image()
        assert upload(server.client, data)["status"] == "stored"
        assert ", 1 of them new" in run_in(tmp_path, backup, **where)  # again, into the same folder
        run_in(tmp_path, build)
    new = where | {"DATA": tmp_path / "restored"}
    assert run_in(tmp_path, restore, **new).endswith(": 2 files\n")
    assert new["DATA"].stat().st_mode & 0o777 == 0o700
    assert '"log_format": "json"' in run_in(tmp_path, install)
    asked = (tmp_path / "pip.log").read_text(encoding="utf-8").splitlines()
    assert asked == ["wheel --no-deps --wheel-dir dist .", f"install --upgrade {NEW_WHEEL}[models,derived]"]
    with Server(new["DATA"]) as server:
        assert '"status":"ok"' in run_in(tmp_path, look.replace("http://127.0.0.1:8080", server.url))
        assert {each["id"] for each in server.client.get("/api/instances").json()} == {first, later}
        assert Site(server, first).run().status_code == 200
        assert [each["email"] for each in server.client.get("/api/users").json()] == ["ann@example.org"]


OLD_WHEEL = "dist/neurdicom-0.1.0-cp311-cp311-linux_x86_64.whl"
NEW_WHEEL = "dist/neurdicom-0.2.0-cp311-cp311-linux_x86_64.whl"


def upgrade_steps(folder: Path) -> tuple[str, str, str]:
    """The page's commands before the stop, between stop and start, and after it, for the tests' own environment.

    In place of pip is a script that writes what it is asked for to `pip.log`, and for `wheel` makes the newer wheel.
    """
    programs = folder / "bin"
    programs.mkdir()
    (programs / "neurdicom").symlink_to(Path(sys.executable).parent / "neurdicom")
    pip = f'#!/bin/bash\necho "$*" >> {folder}/pip.log\nif [ "$1" = wheel ]; then touch {NEW_WHEEL}; fi\n'
    (programs / "pip").write_text(pip, encoding="utf-8")
    (programs / "pip").chmod(0o755)
    (folder / "dist").mkdir()
    (folder / OLD_WHEEL).touch()
    os.utime(folder / OLD_WHEEL, (0, 0))
    (text,) = blocks("backup.md", "Upgrade")
    build, _, rest = text.partition("sudo systemctl stop neurdicom\n")
    install, _, look = rest.partition("sudo systemctl start neurdicom\n")
    for stands, here in (
        ("sudo -u neurdicom ", ""),
        ("sudo ", ""),
        ("/opt/neurdicom/bin", str(programs)),
        ("/etc/neurdicom/", f"{DEPLOY}/"),
    ):
        install = install.replace(stands, here)
    return build.replace("/opt/neurdicom/bin", str(programs)), install, look


def test_an_upgrade_installs_as_the_first_time() -> None:
    (first,) = blocks("installation.md", "As a server")
    (again,) = blocks("backup.md", "Upgrade")
    lines = {line.replace(" --upgrade", "") for line in again.splitlines()}
    assert set(first.splitlines()) - lines == {"sudo python3 -m venv /opt/neurdicom"}


def test_the_backup_page_names_what_there_is(secured: Server) -> None:
    """Whatever a server makes in its data folder is on the page, as kept or not."""
    text = (DOCS / "backup.md").read_text(encoding="utf-8")
    for path in secured.data.iterdir():
        name = path.name.removesuffix("-wal").removesuffix("-shm")
        assert f"`{name}`" in text or f"`{name}/" in text, path.name


def test_metrics_are_those_that_there_are(admin: httpx.Client) -> None:
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    live = set(re.findall(r"^# TYPE (neurdicom_\w+)", admin.get("/api/metrics").text, re.MULTILINE))
    live = {name for name in live if not name.endswith("_created")}
    assert set(re.findall(r"`(neurdicom_\w+)`", text)) == live
    used = re.findall(r"(neurdicom_\w+|process_\w+)\{", text)
    exposed = admin.get("/api/metrics").text
    assert used and all(f"\n{name}" in exposed for name in used)


def test_the_systemd_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "neurdicom.service").read_text(encoding="utf-8")
    assert "TimeoutStopSec=40" in text and "OOMPolicy=continue" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    unit = tmp_path / "neurdicom.service"
    unit.write_text(text.replace("/opt/neurdicom/bin/neurdicom", sys.executable), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_settings_file() -> None:
    settings = load_settings(DEPLOY / "neurdicom.toml", {})
    assert (str(settings.data), settings.host, settings.log_format) == ("/var/lib/neurdicom", "127.0.0.1", "json")
