"""Figures of benchmarks, kept with machine and commit, and their comparison."""

import json
import socket
from pathlib import Path

import pytest

from benchmarks import compare, figures


def run(path: Path, **values: tuple[float, str]) -> Path:
    """Write a run of these figures."""
    measured = {name: {"value": value, "unit": unit} for name, (value, unit) in values.items()}
    path.write_text(json.dumps({"machine": {"cores": 2, "cpu": "one"}, "figures": measured}) + "\n", encoding="utf-8")
    return path


def test_a_run_is_kept_as_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gathering = tmp_path / "figures"
    figures.record("not kept: nobody gathers", 1.0, "ms")
    monkeypatch.setenv(figures.GATHERING, str(gathering))
    monkeypatch.setattr(figures, "_git", lambda *arguments: {"rev-parse": "a" * 40, "status": " M x"}[arguments[0]])
    figures.record("store", 1.0, "instances/s")
    figures.record("store", 2.0, "instances/s")
    figures.record("a call", 3.5, "µs")
    path = figures.write(figures.gathered(gathering), tmp_path / "results")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)
    assert kept["figures"] == {
        "store": {"value": 2.0, "unit": "instances/s"},
        "a call": {"value": 3.5, "unit": "µs"},
    }
    assert (kept["commit"], kept["changed"]) == ("a" * 40, True)
    assert kept["machine"].keys() == {"cores", "cpu", "kernel", "python"}
    assert socket.gethostname() not in line


def test_two_runs_are_compared(tmp_path: Path) -> None:
    before = compare.read(
        run(tmp_path / "a", rate=(100.0, "files/s"), time=(2.0, "ms"), same=(7.0, "ms"), gone=(1, "s"))
    )
    after = compare.read(run(tmp_path / "b", rate=(50.0, "files/s"), time=(1.0, "ms"), same=(7.1, "ms"), new=(1, "s")))
    rate, time, same, gone, new = compare.table(before, after)
    assert ("0.50 x  WORSE" in rate, "2.00 x  better" in time) == (True, True)
    assert "0.99 x          " in same
    assert (gone, new) == ("only in A: gone", "only in B: new")
    after["machine"]["cpu"] = "another"
    after["figures"]["rate"]["unit"] = "MB/s"
    first, second, *_ = compare.table(before, after)
    assert first.startswith("not the same cpu: one, another")
    assert second == "rate: files/s and MB/s can't be compared"


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(SystemExit, match="is empty"):
        compare.read(tmp_path / "empty")
