"""The report of a check."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Weight of a finding: a problem makes the check fail."""

    PROBLEM = "problem"
    ADVICE = "advice"


class Check(StrEnum):
    """Subject of a finding; `--allow` takes these names."""

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
    """Fault or advice, with the sample that shows it."""

    severity: Severity
    check: Check
    message: str
    sample: str | None = None


def problem(check: Check, message: str, sample: str | None = None) -> Finding:
    """Make a finding that makes the check fail.

    Parameters
    ----------
    check : Check
        Its subject.
    message : str
        What is wrong.
    sample : str, optional
        Name of the sample that shows it.
    """
    return Finding(Severity.PROBLEM, check, message, sample)


def advice(check: Check, message: str, sample: str | None = None) -> Finding:
    """Make a finding that does not make the check fail.

    Parameters
    ----------
    check : Check
        Its subject.
    message : str
        What could be better.
    sample : str, optional
        Name of the sample that shows it.
    """
    return Finding(Severity.ADVICE, check, message, sample)


@dataclass(slots=True)
class Row:
    """Outcome of one sample.

    Attributes
    ----------
    sample : str
        Its name.
    shape : tuple of int
        Shape of the image or volume.
    outcome : {"ok", "refused", "failed"}
        `refused`: the plugin itself reported that it does not accept such an image.
    message : str
        Reason of an outcome that is not ok.
    result : str
        The result in words.
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
        """Duration of a call in plain passes."""
        return self.seconds / self.baseline if self.seconds is not None and self.baseline else None

    def to_document(self) -> dict[str, Any]:
        """Return the fields and the ratio as a JSON-able object."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(slots=True)
class CheckReport:
    """Findings and measurements of a check.

    Attributes
    ----------
    plugin : dict
        Id, name, version and kind of the plugin.
    rows : list of Row
        Outcomes of the samples.
    findings : list of Finding
        Problems and advice.
    notes : dict
        Measurements of the whole run: growth for a call, the baseline.
    """

    plugin: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if there is no problem."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)

    def allow(self, checks: Collection[str]) -> None:
        """Turn the problems of some checks into advice."""
        self.findings = [
            replace(each, severity=Severity.ADVICE) if each.check in checks else each for each in self.findings
        ]

    def to_document(self) -> dict[str, Any]:
        """Return the whole report as a JSON-able object."""
        return {
            "ok": self.ok,
            "plugin": self.plugin,
            "samples": [row.to_document() for row in self.rows],
            "findings": [asdict(finding) for finding in self.findings],
            **self.notes,
        }
