"""The steps of `neurdicom demo`: a new server, with a study and plugins in it.

All requests go over HTTP, as those of any client do. The study consists of the test files in pydicom's wheel.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from pydicom import data as pydicom_data

from neurdicom.client import Client
from neurdicom.errors import Invalid, Unavailable
from neurdicom.plugins.devtools.packing import pack_folder
from neurdicom.security.bootstrap import read_first_sign_in

#: DICOM files of the demo: an abdominal MR, a body CT and an ultrasound, from pydicom's test files.
FILES = ("examples_overlay.dcm", "CT_small.dcm", "examples_jpeg2k.dcm")

#: Plugins of the demo, in a checkout: two in Python and one in C.
PLUGINS = ("plugins/hello", "plugins/threshold", "native_examples/invert")

TEST_FILES = Path(pydicom_data.__path__[0]) / "test_files"

READY = re.compile(r"ready at (http://\S+)")


@contextmanager
def running_server(data: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `neurdicom serve` as a child process, with its log beside the data; yields the process and its URL."""
    log_file = data.parent / "server.log"
    with (
        log_file.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "neurdicom", "serve", "--data", str(data), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            ready = next((found for line in process.stdout if (found := READY.search(line))), None)
            if ready is None:
                said = log_file.read_text(encoding="utf-8").strip().splitlines()
                raise Unavailable(f"the server did not start: {said[-1] if said else 'it logged nothing'}")
            yield process, ready[1]
        finally:
            process.terminate()


def zip_study(scratch: Path) -> Path:
    """Pack the demo's DICOM files into a ZIP."""
    path = scratch / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.write(TEST_FILES / name, name)
    return path


def free_port(port: int) -> int:
    """Return the port if it is free, 0 (any free port) otherwise."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def pack(folder: Path, scratch: Path) -> Path:
    """Pack a plugin; a native one is built first, with its own makefile."""
    if not (folder / "plugin.py").exists():
        subprocess.run(["make", "--silent", "-C", str(folder.parent), folder.name], check=True)
    archive = scratch / f"{folder.name}.zip"
    pack_folder(folder, archive)
    return archive


def run_demo(output: Path, sources: Path, port: int, *, once: bool) -> None:
    """Start the server, run the steps of the demo, and leave it running.

    Parameters
    ----------
    output : Path
        Folder of the server's data, its log and the results.
    sources : Path
        A checkout of NeurDICOM.
    port : int
        TCP port of the server; any free one if this is in use.
    once : bool
        Stop the server after the steps.

    Raises
    ------
    Invalid
        `sources` is not a checkout.
    Unavailable
        The server did not start, has ended, or the password of its first user was changed.
    """
    missing = [name for name in PLUGINS if not (sources / name / "META.json").is_file()]
    if missing:
        raise Invalid(
            f"{sources} is not a checkout of NeurDICOM: {missing[0]} is missing; run this in a checkout, or give one "
            "with --sources",
            field="sources",
        )
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # also where the caller ignores them, as shells do for background jobs
        signal.signal(number, signal.default_int_handler)
    output.mkdir(parents=True, exist_ok=True)
    data = output / "data"
    click.echo("Starting a server ...")
    with running_server(data, free_port(port)) as (process, url):
        first = read_first_sign_in(data)
        if first is None:
            raise Unavailable(f"the password of the server in {data} was changed; delete {output} for a new demo")
        with Client(url) as anyone:
            token = anyone.sign_in(first.email, first.password)["token"]
        with Client(url, token) as client:
            show(client, sources, output)
        click.echo(f"\nURL:      {url}  (the API's page: {url}/api/docs)")
        click.echo(f"Sign in:  {first.email} with {first.password}")
        click.echo(f"Token:    {token}")
        if once:
            return
        say_what_next(url, token, output)
        with suppress(KeyboardInterrupt):
            process.wait()
            raise Unavailable(f"the server has ended; {output / 'server.log'} has the reason")


def say_what_next(url: str, token: str, output: Path) -> None:
    """Print the next steps with the running demo.

    Parameters
    ----------
    url : str
        URL of the server.
    token : str
        A bearer token for it.
    output : Path
        Folder of the results.
    """
    script = Path(sys.executable).with_name("neurdicom")  # in the environment's folder, which need not be on the PATH
    command = os.path.relpath(script) if script.exists() else f"{sys.executable} -m neurdicom"
    click.echo(
        f"""
Next:
  look at the pictures in {output}
  open {url}/api/docs and sign in: every route can be tried there
  curl -H 'Authorization: Bearer {token}' {url}/api/studies
  NEURDICOM_SERVER={url} NEURDICOM_TOKEN={token} {command} plugin list
  write a plugin of your own: docs/guide.md
  a server of your own, with your data: {command} serve --data my-data
The server runs until Ctrl-C. What it holds stays in {output}; delete that folder when you are done."""
    )


def show(client: Client, sources: Path, output: Path) -> None:
    """Upload the study and the plugins, run the plugins, and write their results.

    Parameters
    ----------
    client : Client
        A client of the server, signed in as an administrator.
    sources : Path
        A checkout of NeurDICOM, with the sources of the plugins.
    output : Path
        Folder of the results.
    """
    with tempfile.TemporaryDirectory(prefix="neurdicom-demo-") as scratch_name:
        scratch = Path(scratch_name)
        click.echo("Uploading a study ...")
        results = client.instances.upload(zip_study(scratch))
        click.echo(f"uploaded {len(results)} images")
        picture, *_ = (each["id"] for each in results if each["file"] == FILES[0])
        guids = {}
        click.echo("Packing and installing plugins; the one in C is built first ...")
        for folder in (sources / name for name in PLUGINS):
            plugin = client.plugins.install(pack(folder, scratch))
            guids[folder.name] = plugin["id"]
            click.echo(f"installed {plugin['name']} {plugin['version'] or ''} ({plugin['kind']})")
    click.echo("Running the plugins ...")
    shown = {"original.png": (f"/api/instances/{picture}/image", client.instances.image(picture))}
    for name, plugin_folder in (("inverted.png", "invert"), ("threshold.png", "threshold"), ("hello.json", "hello")):
        guid = guids[plugin_folder]
        path = f"/api/instances/{picture}/process/by_plugin/{guid}"
        shown[name] = (path, client.instances.process(picture, plugin=guid).content)
    for name, (path, content) in shown.items():
        (output / name).write_bytes(content)
        click.echo(f"{output / name}  from GET {path}")
