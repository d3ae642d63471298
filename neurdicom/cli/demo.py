"""`make demo`: a server of one's own, with a study and plugins in it, from nothing.

Everything goes over HTTP as any client's requests do. The study comes from the test files in pydicom's wheel.
"""

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
from neurdicom.errors import Unavailable
from neurdicom.plugins.devtools.packing import pack_folder
from neurdicom.security.bootstrap import read_first_sign_in

#: The pictures of the demo: an abdominal MR, a body CT and an ultrasound, from pydicom's test files.
FILES = ("examples_overlay.dcm", "CT_small.dcm", "examples_jpeg2k.dcm")

TEST_FILES = Path(pydicom_data.__path__[0]) / "test_files"

READY = re.compile(r"ready at (http://\S+)")


@contextmanager
def running_server(data: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `neurdicom serve` as a process of its own, with its log beside the data; answers it and its URL."""
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
                raise Unavailable(f"the server did not start: {said[-1] if said else 'it said nothing'}")
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
    """The port if nobody listens there, 0 (any) otherwise."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def pack(folder: Path, scratch: Path) -> Path:
    """Pack a plugin in source form; a native one is built first, with its own make file."""
    if not (folder / "plugin.py").exists():
        subprocess.run(["make", "--silent", "-C", str(folder.parent), folder.name], check=True)
    archive = scratch / f"{folder.name}.zip"
    pack_folder(folder, archive)
    return archive


def show(client: Client, sources: Path, output: Path) -> None:
    """Upload the study and the plugins, run them, and keep what comes back."""
    with tempfile.TemporaryDirectory(prefix="neurdicom-demo-") as scratch_name:
        scratch = Path(scratch_name)
        results = client.instances.upload(zip_study(scratch))
        click.echo(f"uploaded {len(results)} images")
        picture, *_ = (each["id"] for each in results if each["file"] == FILES[0])
        guids = {}
        for folder in (sources / "plugins/hello", sources / "plugins/threshold", sources / "native_examples/invert"):
            plugin = client.plugins.install(pack(folder, scratch))
            guids[folder.name] = plugin["id"]
            click.echo(f"installed {plugin['name']} {plugin['version'] or ''} ({plugin['kind']})")
    shown = {"original.png": (f"/api/instances/{picture}/image", client.instances.image(picture))}
    for name, plugin_folder in (("inverted.png", "invert"), ("threshold.png", "threshold"), ("hello.json", "hello")):
        guid = guids[plugin_folder]
        path = f"/api/instances/{picture}/process/by_plugin/{guid}"
        shown[name] = (path, client.instances.process(picture, plugin=guid).content)
    for name, (path, content) in shown.items():
        (output / name).write_bytes(content)
        click.echo(f"{output / name}  from GET {path}")


@click.command()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path("demo-output"))
@click.option("--sources", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path())
@click.option("--port", type=int, default=8080, show_default=True, help="Another free one if this is taken.")
@click.option("--once", is_flag=True, help="Stop when everything is shown.")
def demo(output: Path, sources: Path, port: int, once: bool) -> None:
    """Start a server with a study and plugins in it, and write what the plugins give into a folder.

    SOURCES is a checkout of NeurDICOM, where the plugins' sources lie.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # also where the caller ignores them, as a shell's background does
        signal.signal(number, signal.default_int_handler)
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    data = output / "data"
    with running_server(data, free_port(port)) as (process, url):
        first = read_first_sign_in(data)
        if first is None:
            raise Unavailable(f"the password of {data} was changed; delete {output} for a fresh demo")
        with Client(url) as anyone:
            token = anyone.sign_in(first.email, first.password)["token"]
        with Client(url, token) as client:
            show(client, sources.resolve(), output)
        click.echo(f"\nURL:      {url}  (the API's page: {url}/api/docs)")
        click.echo(f"Sign in:  {first.email} with {first.password}")
        click.echo(f"Token:    {token}")
        click.echo(f"Try:      curl -H 'Authorization: Bearer {token}' {url}/api/studies")
        if once:
            return
        click.echo("The server runs until Ctrl-C.")
        with suppress(KeyboardInterrupt):
            process.wait()
            raise Unavailable(f"the server has ended; {output / 'server.log'} tells why")
