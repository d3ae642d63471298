"""Spans of dates, times, and numbers that keys of queries name (PS3.4 C.2.2.2.5), read as leniently as peers expect.

A key in an old form, or with an end that no calendar has, is widened; one that means nothing is left out of account.
Either leaves a remark. Lists of the API are strict instead (`dicom.query.filters`).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from neurdicom.dicom.query.attributes import Kind

_DATE = re.compile(r"(\d{4})(?:([.:-])(\d\d)\2(\d\d)|(\d\d)?(\d\d)?)\Z", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{0,6})\d*)?)?)?:?\d?\Z", re.ASCII)
_INTEGER = re.compile(r"([+-]?\d{1,20})(?:\.0*)?\Z", re.ASCII)
_INTEGERS = re.compile(r"([+-]?\d{1,20})?\s*-\s*([+-]?\d{1,20})?\Z", re.ASCII)
_OFFSET = r"[+-](?:0\d|1[0-4])[0-5]\d"
_DATETIME = re.compile(rf"(\d{{4}}(?:\d\d){{0,5}}(?:\.\d{{1,6}})?)({_OFFSET})?\Z", re.ASCII)
_DATETIMES = re.compile(rf"([\d.]+(?:{_OFFSET}(?=\s*-))?)?\s*-\s*([\d.]+(?:{_OFFSET})?)?\Z", re.ASCII)
_INT64 = range(-(2**63), 2**63)
#: The last moment of a day, by which an end of less precision is completed.
_LAST_DATE, _LAST_TIME = "99991231", "235959.999999"


@dataclass(frozen=True, slots=True)
class ValueSpan:
    """Span of values, ends included.

    Attributes
    ----------
    low, high : str, int or None
        The ends, in the form of stored values; None is open.
    remark : str
        How it differs from what was asked; empty where it does not.
    """

    low: str | int | None
    high: str | int | None
    remark: str = ""


def read_span(kind: Kind, text: str) -> ValueSpan | None:
    """Read a date, time or integer, or a range of them; None where the text is neither."""
    text = text.strip(" \0")
    read = {Kind.DATE: _dates, Kind.TIME: _times, Kind.INTEGER: _integers}[kind]
    if not text.strip("- "):
        return ValueSpan(None, None, f"{text!r} has no ends")
    return read(text)


def _dates(text: str) -> ValueSpan | None:
    single = _DATE.match(text)
    if single:
        day = _date(single)
        if len(day) == 8 and (wider := _existing(day)) == day:
            return ValueSpan(day, day)
        wider = _existing(day)
        if not wider:
            return None
        return ValueSpan(wider, wider + _LAST_DATE[len(wider) :], f"{text} is no date, all of {wider} was searched")
    low, dash, high = (part.strip() for part in text.partition("-"))
    ends = [_DATE.match(end) if end else None for end in (low, high)]
    if not dash or any(bool(end) != bool(match) for end, match in zip((low, high), ends, strict=True)):
        return None
    first, last = (_date(match) if match else None for match in ends)
    # An end such as 20240231 has its place among the dates.
    return ValueSpan(first, last and last + "9" * (8 - len(last)))


def _date(match: re.Match[str]) -> str:
    year, _, month, day, *others = match.groups()
    return "".join(part or "" for part in (year, month, day, *others))


def _existing(date: str) -> str:
    """Return the longest beginning of a date, whole, month or year, that a calendar has; empty where there is none."""
    for length, form in ((8, "%Y%m%d"), (6, "%Y%m"), (4, "%Y")):
        if len(date) >= length:
            try:
                datetime.strptime(date[:length], form)
            except ValueError:
                continue
            return date[:length]
    return ""


def _times(text: str) -> ValueSpan | None:
    single = _TIME.match(text)
    if single:
        time = _time(single)
        if not time:
            return None
        whole = time == "".join(text.split(":"))
        return ValueSpan(_first(time), _last(time), "" if whole else f"{text} is no time, all of {time} was searched")
    low, dash, high = (part.strip() for part in text.partition("-"))
    ends = [_TIME.match(end) if end else None for end in (low, high)]
    if not dash or any(bool(end) != bool(match) for end, match in zip((low, high), ends, strict=True)):
        return None
    first, last = (_time(match, clock=False) if match else None for match in ends)
    return ValueSpan(None if first is None else _first(first), None if last is None else _last(last))


def _time(match: re.Match[str], *, clock: bool = True) -> str:
    """Join the parts of a time, up to the first that no clock shows."""
    hour, minute, second, fraction = match.groups()
    if clock:
        if hour > "23":
            return ""
        minute = minute if minute and minute < "60" else None
        second = second if minute and second and second <= "60" else None
    parts = [hour, minute, second if minute else None]
    return "".join(part or "" for part in parts) + (f".{fraction}" if second and fraction else "")


def _first(time: str) -> str | None:
    """Return the least text of a stored time that is not before one: stored times may stop early (`1200`)."""
    if "." in time:
        time = time.rstrip("0").rstrip(".")
    while time.endswith("00") and "." not in time:
        time = time[:-2]
    return time or None


def _last(time: str) -> str:
    """Return the greatest text of a stored time that begins as one."""
    if "." in time:
        return time + "9" * (len(_LAST_TIME) - len(time))
    return time + _LAST_TIME[len(time) :]


def _integers(text: str) -> ValueSpan | None:
    single = _INTEGER.match(text)
    if single:
        number = int(single[1])
        return ValueSpan(number, number) if number in _INT64 else None
    between = _INTEGERS.match(text)
    if between is None:
        return None
    low, high = (None if end is None else int(end) for end in between.groups())
    if any(end is not None and end not in _INT64 for end in (low, high)):
        return None
    return ValueSpan(low, high)


@dataclass(frozen=True, slots=True)
class DateTimeSpan:
    """Span of dates and times of day (VR DT), each end with its offset from UTC in minutes, or None."""

    low: tuple[str, int | None] | None
    high: tuple[str, int | None] | None

    def holds(self, value: str) -> bool:
        """Tell whether a stored value lies in it. Offsets from UTC count where both sides have one."""
        match = _DATETIME.match(value.strip(" \0"))
        if match is None:
            return False
        digits, offset = match[1], _minutes(match[2])
        if self.low and _shifted(digits, offset, self.low[1]) < self.low[0]:
            return False
        return not (self.high and _shifted(digits, offset, self.high[1]) > self.high[0] + "~")


def read_datetimes(text: str) -> DateTimeSpan | None:
    """Read a date and time, or a range of them; one of less precision covers all that begin with it."""
    text = text.strip(" \0")
    single = _DATETIME.match(text)
    if single:
        end = (single[1], _minutes(single[2]))
        return DateTimeSpan(end, end)
    between = _DATETIMES.match(text)
    if between is None or not any(between.groups()):
        return None
    ends = [_DATETIME.match(end) if end else None for end in between.groups()]
    if any(bool(end) != bool(match) for end, match in zip(between.groups(), ends, strict=True)):
        return None
    low, high = ((match[1], _minutes(match[2])) if match else None for match in ends)
    return DateTimeSpan(low, high)


def _minutes(offset: str | None) -> int | None:
    if offset is None:
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return -minutes if offset[0] == "-" else minutes


def _shifted(digits: str, offset: int | None, wanted: int | None) -> str:
    """Write a date and time as a clock with another offset from UTC shows it, in the same precision."""
    if offset is None or wanted is None or offset == wanted or len(digits) < 10:
        return digits
    whole, fraction = digits[:14], digits[14:]
    length = len(whole)
    try:
        moment = datetime.strptime(whole + "0000"[: 14 - length], "%Y%m%d%H%M%S")
        moved = moment + timedelta(minutes=wanted - offset)
    except (ValueError, OverflowError):
        return digits
    return moved.strftime("%Y%m%d%H%M%S")[: max(length, 12)] + fraction
