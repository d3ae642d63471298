"""Shell commands of a page of the documentation, run as a reader would."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def run_script(script: str, folder: Path, *, seconds: float) -> tuple[int, str]:
    """Run shell commands whose first background job is a server, which is ended after them.

    Parameters
    ----------
    script : str
        For bash, which stops at the first command that fails.
    folder : Path
        Where it runs.
    seconds : float
        Most time that it may take.

    Returns
    -------
    status : int
    output : str
        What it wrote, errors too.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script + "\nkill %1\nwait\n"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        with suppress(ProcessLookupError):  # its server outlives a script that failed
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, output
