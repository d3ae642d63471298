"""The report of a check."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """The weight of a finding: a problem makes the check fail."""

    PROBLEM = "problem"
    ADVICE = "advice"


class Check(StrEnum):
    """The subject of a finding; `--allow` takes these names."""

    LOAD = "load"
    RUN = "run"
    BOUNDS = "bounds"
    RESULT = "result"
    NAN = "nan"
    DETERMINISM = "determinism"
    LEAK = "leak"
    SETTINGS = "settings"
    FILES = "files"
    SPEED = "speed"
    MANIFEST = "manifest"
    SANITIZER = "sanitizer"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or could be better, with the sample that shows it."""

    severity: Severity
    check: Check
    message: str
    sample: str | None = None


def problem(check: Check, message: str, sample: str | None = None) -> Finding:
    """Make a finding that makes the check fail."""
    return Finding(Severity.PROBLEM, check, message, sample)


def advice(check: Check, message: str, sample: str | None = None) -> Finding:
    """Make a finding that does not make the check fail."""
    return Finding(Severity.ADVICE, check, message, sample)


@dataclass(slots=True)
class Row:
    """The outcome of one sample.

    Attributes
    ----------
    sample : str
        Its name.
    shape : tuple of int
    outcome : {"ok", "refused", "failed"}
        `refused`: the plugin itself said that it does not take such an image.
    message : str
        Of an outcome that is not ok.
    result : str
        What came back, in words.
    seconds, baseline : float or None
        Medians of a call, and of the plain pass over the same samples.
    memory : int or None
        Bytes that a call took at its peak.
    """

    sample: str
    shape: tuple[int, ...]
    outcome: str = "ok"
    message: str = ""
    result: str = ""
    seconds: float | None = None
    baseline: float | None = None
    memory: int | None = None

    @property
    def ratio(self) -> float | None:
        """Compute how many plain passes a call takes."""
        return self.seconds / self.baseline if self.seconds is not None and self.baseline else None

    def to_document(self) -> dict[str, Any]:
        """Give the fields and the ratio as JSON can carry them."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(slots=True)
class CheckReport:
    """The findings and measurements of a check.

    Attributes
    ----------
    plugin : dict
        Of META.json and the archive, what tells which plugin this is.
    rows : list of Row
    findings : list of Finding
    notes : dict
        What was measured beside the samples: growth for a call, the baseline.
    """

    plugin: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)

    def allow(self, checks: Collection[str]) -> None:
        """Take the problems of some checks for advice."""
        self.findings = [
            replace(each, severity=Severity.ADVICE) if each.check in checks else each for each in self.findings
        ]

    def to_document(self) -> dict[str, Any]:
        """Give the whole report as JSON can carry it."""
        return {
            "ok": self.ok,
            "plugin": self.plugin,
            "samples": [row.to_document() for row in self.rows],
            "findings": [asdict(finding) for finding in self.findings],
            **self.notes,
        }
