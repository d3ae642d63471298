"""Multipart bodies (RFC 2046, RFC 7578, RFC 2387), parsed as they arrive; no I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

from neurdicom.errors import Malformed

#: Most headers of a part, and most bytes in one of them.
_MAX_HEADERS = 32
_MAX_HEADER_BYTES = 8 * 1024

#: Most bytes before the first boundary.
_MAX_PREAMBLE = 64 * 1024

#: Most bytes of a boundary; RFC 2046 says 70.
_MAX_BOUNDARY = 1024

_CR = 13
_BLANKS = (" ", "\t")
#: What follows a boundary: the two hyphens of the closing one, or white space and the end of the line.
_AFTER_BOUNDARY = re.compile(rb"(?P<closing>--)|[ \t]{0,1024}(?P<end>\r?\n)?")

#: Content types of parts that count as files even without a file name, as in multipart/related.
_FILES = (b"application/dicom", b"application/zip", b"application/x-zip-compressed", b"application/octet-stream")

#: Most characters of a file's name that are shown.
_LONGEST_NAME = 255

#: File name as in RFC 8187, which some clients send though RFC 7578 does not allow it in forms.
_EXTENDED_NAME = re.compile(rb"""filename\*\s*=\s*utf-8'[^']*'([^\s;"]*)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartBegins:
    """Beginning of a part.

    Attributes
    ----------
    file : str or None
        Name of a file, None for another field of a form.
    headers : Mapping[str, str]
        Headers by name in lower case.
    """

    file: str | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartData:
    """Bytes of the part."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """End of the part."""


Event = PartBegins | PartData | PartEnds


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    DATA = auto()
    EPILOGUE = auto()


class _Delimiter(NamedTuple):
    """A delimiter in a body: where the data before it ends, what follows it, and if it is the closing one."""

    start: int
    stop: int
    closing: bool


class MultipartReader:
    """Parser that turns pieces of a body into events.

    It takes what RFC 2046 allows beyond what is usual: white space after a boundary, folded headers, a preamble and an
    epilogue; and lines that end in LF alone throughout.

    Parameters
    ----------
    content_type : str
        Content-Type of the body, with its boundary.

    Raises
    ------
    Malformed
        There is no boundary, or an invalid one.
    """

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"").strip()
        if not boundary:
            raise Malformed("the Content-Type of a multipart body must give its boundary", field="Content-Type")
        if len(boundary) > _MAX_BOUNDARY or b"\n" in boundary:
            raise Malformed(
                f"the multipart boundary can't be used: it has {len(boundary)} bytes, at most {_MAX_BOUNDARY} are "
                "expected",
                field="Content-Type",
            )
        self.complete = False
        self._start = b"--" + boundary
        self._line = b"\n" + self._start
        self._state = _State.PREAMBLE
        self._held = b""
        self._ends_in_crlf = True
        self._is_new = False  # no data of this part yet
        self._headers: dict[str, str] = {}
        self._name = ""
        self._parts = 0

    def feed(self, data: bytes) -> list[Event]:
        """Parse the next piece; return its events, in order. Raises `Malformed`."""
        if self._held:
            data, self._held = self._held + data, b""
        events: list[Event] = []
        position, end = 0, len(data)
        while position < end and self._state is not _State.EPILOGUE:
            if self._state is _State.HEADERS:
                following = self._header_line(data, position, events)
            else:
                following = self._data(data, position, events)
            if following is None:
                break
            position = following
        return events

    def _data(self, data: bytes, position: int, events: list[Event]) -> int | None:
        """Read data, or the preamble, up to a delimiter; return where to go on, None to wait for more."""
        found, safe = self._find_delimiter(data, position)
        stop = safe if found is None else found.start
        if self._state is _State.DATA:
            if stop > position:
                events.append(PartData(memoryview(data)[position:stop]))
                self._is_new = False
        elif found is None and len(data) > _MAX_PREAMBLE:
            raise Malformed(f"the multipart body has no boundary {self._start[:80]!r} in its first {len(data)} bytes")
        if found is None:
            # The preamble is held whole: it is short.
            self._held = data[position:] if self._state is _State.PREAMBLE else data[stop:]
            return None
        if self._state is _State.DATA:
            events.append(PartEnds())
        self._begin_part(closing=found.closing)
        return found.stop

    def _begin_part(self, *, closing: bool) -> None:
        self.complete = closing
        self._state = _State.EPILOGUE if closing else _State.HEADERS
        self._headers, self._name = {}, ""
        self._parts += 1

    def _find_delimiter(self, data: bytes, position: int) -> tuple[_Delimiter | None, int]:
        """Find the next delimiter line; without one, where data ends that can't belong to one."""
        at, after = self._candidate(data, position, position)
        while at >= 0:
            start = at - 1 if self._ends_in_crlf and at > position and data[at - 1] == _CR else at
            line = _AFTER_BOUNDARY.match(data, after)
            if line is not None and (line["closing"] or line["end"]):
                if self._state is _State.PREAMBLE and line["end"]:
                    self._ends_in_crlf = line["end"] != b"\n"
                return _Delimiter(start, line.end(), line["closing"] is not None), start
            if line is not None and len(data) - line.end() <= 1 and data[line.end() :] in (b"", b"\r", b"-"):
                return None, start  # it may go on as one
            at, after = self._candidate(data, position, after)
        return None, self._possible_start(data, position)

    def _candidate(self, data: bytes, position: int, since: int) -> tuple[int, int]:
        """Find the boundary at the beginning of a line, and what follows it; -1 where there is none."""
        is_first = self._state is _State.PREAMBLE or self._is_new
        if since == position and is_first and data.startswith(self._start, position):
            return position, position + len(self._start)
        at = data.find(self._line, since)
        return at, at + len(self._line)

    def _possible_start(self, data: bytes, position: int) -> int:
        """Find where a delimiter could begin that is cut off by the end of the data."""
        end = len(data)
        if self._is_new and end - position < len(self._start) and self._start.startswith(data[position:]):
            return position
        at = data.find(b"\n", max(position, end - len(self._line)))
        while at >= 0 and not self._line.startswith(data[at:]):
            at = data.find(b"\n", at + 1)
        if at < 0:
            return end - 1 if end > position and data[end - 1] == _CR else end
        return at - 1 if at > position and data[at - 1] == _CR else at

    def _header_line(self, data: bytes, position: int, events: list[Event]) -> int | None:
        """Read a line of a part's header; return where to go on, None to wait for more."""
        end = data.find(b"\n", position)
        if (end if end >= 0 else len(data)) - position > _MAX_HEADER_BYTES:
            raise Malformed(f"the multipart body is broken: a header of a part has over {_MAX_HEADER_BYTES} bytes")
        if end < 0:
            self._held = data[position:]
            return None
        line = data[position:end].decode("latin-1").rstrip("\r")
        if line[:1] in _BLANKS and self._name:
            self._fold(line.strip(" \t"))
        elif not line.strip(" \t"):
            self._state, self._is_new = _State.DATA, True
            events.append(PartBegins(self._file_name(), self._headers))
        else:
            name, colon, value = line.partition(":")
            if not colon or not name.strip(" \t"):
                raise Malformed(f"the multipart body is broken: {line[:80]!r} is no header of a part")
            self._name = name.strip(" \t").lower()
            self._headers[self._name] = value.strip(" \t")
            if len(self._headers) > _MAX_HEADERS:
                raise Malformed(f"the multipart body is broken: a part has over {_MAX_HEADERS} headers")
        return end + 1

    def _fold(self, line: str) -> None:
        """Continue the last header (RFC 5322 2.2.3)."""
        value = f"{self._headers[self._name]} {line}".strip(" ")
        if len(value) > _MAX_HEADER_BYTES:
            raise Malformed(f"the multipart body is broken: a header of a part has over {_MAX_HEADER_BYTES} bytes")
        self._headers[self._name] = value

    def _file_name(self) -> str | None:
        disposition = self._headers.get("content-disposition", "").encode("latin-1")
        _, options = parse_options_header(disposition)
        name = options.get(b"filename")
        if name is None and (extended := _EXTENDED_NAME.search(disposition)):
            name = unquote_to_bytes(extended[1])
        if name is None:
            kind, _ = parse_options_header(self._headers.get("content-type", ""))
            return f"part {self._parts}" if kind.lower() in _FILES else None
        return shown_name(_text(name)) or f"part {self._parts}"


def shown_name(name: str) -> str:
    """Clean a file's name for display: no control characters or lone surrogates, at most its last 255 characters."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return clean if len(clean) <= _LONGEST_NAME else "…" + clean[1 - _LONGEST_NAME :]


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
