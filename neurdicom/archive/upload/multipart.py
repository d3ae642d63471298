"""Multipart bodies (RFC 2046, RFC 7578, RFC 2387), parsed as they arrive; no I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from neurdicom.errors import Malformed

#: Most headers of a part, and most bytes in one of them.
_MAX_HEADERS = 32
_MAX_HEADER_BYTES = 8 * 1024

#: Most bytes before the first boundary.
_MAX_PREAMBLE = 64 * 1024

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


class MultipartReader:
    """Parser that turns pieces of a body into events.

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
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise Malformed("the Content-Type of a multipart body must give its boundary", field="Content-Type")
        self.complete = False
        self._start = b"--" + boundary
        self._preamble: bytes | None = b""
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._parts = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": lambda: self._events.append(PartEnds()),
                    "on_end": self._end,
                },
                max_header_count=_MAX_HEADERS,
                max_header_size=_MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise Malformed(f"the multipart boundary can't be used: {error}", field="Content-Type") from error

    def feed(self, data: bytes) -> list[Event]:
        """Parse the next piece; return its events, in order. Raises `Malformed`."""
        self._events = []
        if self._preamble is not None:
            data = self._after_preamble(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Malformed(f"the multipart body is broken: {error}") from error
        return self._events

    def _after_preamble(self, data: bytes) -> bytes:
        """Skip the bytes before the first boundary (RFC 2046 5.1.1), usually empty lines."""
        self._preamble = data = (self._preamble or b"") + data
        start = 0 if data.startswith(self._start) else data.find(b"\n" + self._start) + 1
        if start or data.startswith(self._start):
            self._preamble = None
            return data[start:]
        if len(data) > _MAX_PREAMBLE:
            raise Malformed(f"the multipart body has no boundary {self._start[:80]!r} in its first {len(data)} bytes")
        return b""

    def _part_begins(self) -> None:
        self._headers = {}
        self._parts += 1

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_end(self) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}
        self._events.append(PartBegins(self._file_name(), headers))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(memoryview(data)[start:end]))

    def _end(self) -> None:
        self.complete = True

    def _file_name(self) -> str | None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        name = options.get(b"filename")
        if name is None and (extended := _EXTENDED_NAME.search(disposition)):
            name = unquote_to_bytes(extended[1])
        if name is None:
            kind, _ = parse_options_header(self._headers.get(b"content-type", b""))
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
