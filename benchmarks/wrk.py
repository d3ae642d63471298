"""The load generator: Debian's wrk, which takes little of the cores that it shares with the servers."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def requests_per_second(urls: Sequence[str], *, connections: int = 4, seconds: float = 5.0) -> float:
    """Get URLs in turn over keep-alive connections.

    Parameters
    ----------
    urls : sequence of str
        On one server; each connection goes through all of them, over and over.
    connections : int
    seconds : float
        After a warm-up of one second that does not count.

    Returns
    -------
    float
        Answers a second. Raises `RuntimeError` if any was not a 2xx.
    """
    if shutil.which("wrk") is None:
        raise FileNotFoundError("wrk is not installed (Debian: apt-get install wrk)")
    host = re.match(r"http://[^/]+", urls[0])
    assert host is not None
    paths = ",".join(f'"{url[len(host[0]) :]}"' for url in urls)
    script = f"local paths, i = {{{paths}}}, 0\nrequest = function() i = i % #paths + 1\n"
    script += "return wrk.format('GET', paths[i]) end\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paths.lua"
        file.write_text(script, encoding="utf-8")
        _run(["wrk", "-t1", f"-c{connections}", "-d1s", "-s", str(file), host[0]])
        said = _run(["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(file), host[0]])
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"the run failed:\n{said}")
    return float(found[1])


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
