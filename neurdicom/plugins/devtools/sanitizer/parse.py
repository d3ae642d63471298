"""Parser of the output of AddressSanitizer, LeakSanitizer and UBSan: pure functions of the text."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from neurdicom.plugins.devtools.report import Check, Finding, problem
from neurdicom.plugins.devtools.sanitizer.child import MARK

_ERROR: Final = re.compile(r"ERROR: AddressSanitizer:? (?P<what>[\w-]+)(?P<rest>.*)")
_ACCESS: Final = re.compile(r"^(READ|WRITE) of size (\d+)", re.MULTILINE)
_WHERE: Final = re.compile(r"is located (\d+) bytes (?:to the )?(right|left|after|before|inside) (?:of )?(.*region)")
_LEAK: Final = re.compile(
    r"^(?:Direct|Indirect) leak of (?P<bytes>\d+) byte\(s\) in (?P<count>\d+) object\(s\).*\n(?P<stack>(?:\s+#.*\n)+)",
    re.MULTILINE,
)
_UNDEFINED: Final = re.compile(r"^(?P<where>\S+?:\d+(?::\d+)?): runtime error: (?P<what>.*)$", re.MULTILINE)
_FRAME: Final = re.compile(
    r"^\s+#\d+ 0x[0-9a-f]+ \{(?P<module>.*?)\} \{(?P<function>.*)\} \{(?P<place>.*)\}$", re.MULTILINE
)
_BLIND: Final = "LeakSanitizer has encountered a fatal error"

#: Headers that a plugin includes; a frame in them is reported only where there is no frame of the plugin's own code.
_INCLUDED: Final = ("/usr/include/", "/bits/", "neurdicom_plugin.hpp", "neurdicom_json.hpp")


@dataclass(slots=True)
class SanitizerOutput:
    """Output of one process.

    Attributes
    ----------
    findings : list of Finding
        Faults that the sanitizers report.
    failures : dict
        Errors that the plugin itself reported, by sample.
    ended_in : str or None
        The sample in which the process ended, or `load`, `unload`; None when it came to its regular end.
    """

    findings: list[Finding] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    ended_in: str | None = None


def read_output(text: str, status: int | None, library: Path) -> SanitizerOutput:
    """Parse the standard error of a process of `plugins.devtools.sanitizer.child`.

    Parameters
    ----------
    text : str
        The output.
    status : int or None
        Its exit status; None: it took too long.
    library : Path
        The plugin's shared library, to recognise frames of the plugin.
    """
    output, place, sample, ended = SanitizerOutput(), "load", None, False
    head, *parts = text.split(MARK)
    if not parts:
        place, parts = "start", [f'["start"]\n{head}']
    for part in parts:
        line, _, rest = part.partition("\n")
        words = json.loads(line)
        if words[0] == "failed" and sample is not None:
            output.failures[sample] = words[1]
        else:
            place, ended = words[0], words[0] == "end"
            sample = words[1] if words[0] == "sample" else None
        output.findings.extend(_findings(rest, sample, library))
    if not ended:
        output.ended_in = sample or place
        if status is None:
            output.findings.append(problem(Check.RUN, "it was still running after ten times its time limit", sample))
        elif not any(_ERROR.search(part) for part in parts[-1:]):
            last = parts[-1].strip().splitlines()[-1]
            message = f"the process ended with status {status} during {sample or place}: {last[:300]}"
            output.findings.append(problem(Check.RUN, message, sample))
    return output


def _findings(text: str, sample: str | None, library: Path) -> list[Finding]:
    found = []
    for undefined in _UNDEFINED.finditer(text):
        message = f"undefined behaviour: {undefined['what']}, at {_short(undefined['where'], library)}"
        found.append(problem(Check.SANITIZER, message, sample))
    if (error := _ERROR.search(text)) is not None:
        found.append(problem(Check.SANITIZER, _describe(error, text[error.start() :], library), sample))
    for leak in _LEAK.finditer(text):
        at = _own_frame(leak["stack"], library)
        if at is not None and leak[0].startswith("Direct"):
            message = f"memory leak: the memory allocated {at} is never freed"
            found.append(problem(Check.SANITIZER, message, sample))
    if _BLIND in text:
        message = "LeakSanitizer can't work here (it needs ptrace), so leaks were not checked"
        found.append(problem(Check.SANITIZER, message))
    return found


def _describe(error: re.Match[str], text: str, library: Path) -> str:
    what = error["what"]
    access = _ACCESS.search(text)
    message = what if access is None else f"{what}: {access[1].lower()}s {access[2]} bytes"
    if what in ("SEGV", "FPE", "BUS", "ABRT", "ILL"):
        message = f"{what}{error['rest'].split('(pc')[0].rstrip()}"
    first = re.split(r"\n(?:freed|allocated|previously|0x[0-9a-f]+ is located|SUMMARY)", text)[0]
    if (at := _own_frame(first, library)) is not None:
        message += f" {at}"
    if (where := _WHERE.search(text)) is not None:
        side = {"right": "behind", "after": "behind", "left": "before", "before": "before"}.get(where[2], "inside")
        message += f"; {where[1]} bytes {side} {'of ' if side == 'inside' else ''}a {where[3]}"
    for word in ("freed", "allocated"):
        part = re.search(rf"\n(?:previously )?{word} by thread .*here:\n((?:\s+#.*\n)+)", text)
        if part is not None and (at := _own_frame(part[1], library)) is not None:
            message += f", {word} {at}"
    return message


def _own_frame(stack: str, library: Path) -> str | None:
    """Find the innermost frame of the plugin's own code: `in FUNCTION at FILE:LINE`; None where there is none."""
    fallback = None
    for frame in _FRAME.finditer(stack):
        if frame["module"] != str(library):
            continue
        function = frame["function"].partition("(")[0] or "unknown code"
        shown = f"in {function} at {_short(frame['place'], library)}"
        if not any(mark in frame["place"] for mark in _INCLUDED):
            return shown
        fallback = fallback or shown
    return fallback


def _short(place: str, library: Path) -> str:
    for prefix in (f"{Path.cwd()}/", f"{library.parent}/"):
        place = place.removeprefix(prefix)
    return place
