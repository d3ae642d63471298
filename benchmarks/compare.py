"""`make bench-compare A B`: two files that `make bench` wrote, figure by figure, and the ratio of each."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """Read the last run of a file."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise SystemExit(f"{path} is empty; `make bench` writes such files into benchmarks/results")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def gain(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Compute how many times as good a figure is as one before; above 1 is better, whether more or less is wanted."""
    if before["unit"] != after["unit"]:
        raise ValueError(f"{before['unit']} can't be compared with {after['unit']}")
    one, other = (after, before) if before["unit"].endswith("/s") else (before, after)
    return float(one["value"]) / float(other["value"]) if other["value"] else float("inf")


def table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines of a comparison.

    Machines that differ are named first, figures that only one run has come last.
    """
    for key in sorted(before["machine"].keys() | after["machine"].keys()):
        one, other = before["machine"].get(key), after["machine"].get(key)
        if one != other:
            yield f"not the same {key}: {one}, {other}; ratios tell of the machines as well"
    figures, others = before["figures"], after["figures"]
    for name in [name for name in figures if name in others]:
        one, other = figures[name], others[name]
        if one["unit"] != other["unit"]:
            yield f"{name}: {one['unit']} and {other['unit']} can't be compared"
            continue
        ratio = gain(one, other)
        verdict = "" if 0.95 <= ratio <= 1.05 else "  better" if ratio > 1 else "  WORSE"
        yield f"{one['value']:12.3f} {other['value']:12.3f} {one['unit']:12} {ratio:6.2f} x{verdict:8}  {name}"
    for which, here, there in (("A", figures, others), ("B", others, figures)):
        yield from (f"only in {which}: {name}" for name in here if name not in there)


def main() -> None:
    """Print the comparison of two files."""
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("before", type=Path, metavar="A")
    parser.add_argument("after", type=Path, metavar="B")
    given = parser.parse_args()
    before, after = read(given.before), read(given.after)
    for letter, run in (("A", before), ("B", after)):
        print(f"{letter}: {run['commit'][:12]}{' with changes' if run['changed'] else ''}, {run['time']}")
    sys.stdout.writelines(f"{line}\n" for line in table(before, after))


if __name__ == "__main__":
    main()
