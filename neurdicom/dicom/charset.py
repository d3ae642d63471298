"""Text in every DICOM character set (PS3.5 6.1, PS3.3 C.12.1.1.2).

The text of an element is decoded before it is split at backslashes: in the Chinese and Japanese sets the byte 5CH
occurs inside characters (PS3.5 6.1.2.5.3).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

#: Defined terms, by their number where they have one, and Python's codec for each.
_CODECS = {
    "6": "ascii",
    "13": "shift_jis",
    "58": "gb2312",
    "87": "iso2022_jp",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "iso8859_11",
    "192": "utf_8",
    "203": "iso8859_15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
#: Terms that forbid code extensions: an escape character in them is a character.
_STANDALONE = frozenset({"192", "GB18030", "GBK"})
#: Terms whose codec needs an escape sequence first; their initial state is ASCII.
_EXTENSIONS = frozenset({"58", "87", "149", "159"})
_TERM = re.compile(r"ISO[ _-]?(?:2022)?[ _-]*(?:IR)?[ _-]*(\d+)\Z")
#: Spellings outside the standard that occur in files.
_ALIASES = {
    "UTF8": "192",
    "UTF-8": "192",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 GB18030": "GB18030",
    "GB2312": "58",
    "LATIN1": "100",
    "ISO 8859-1": "100",
    "ISO-8859-1": "100",
    "ISO8859-1": "100",
}

#: Escape sequences that designate a set to G0 (bytes 21-7E) and to G1 (A1-FE), with the codec of the bytes.
_G0 = {b"\x1b(B": "ascii", b"\x1b(J": "ascii", b"\x1b$B": "\x1b$B", b"\x1b$@": "\x1b$B", b"\x1b$(D": "\x1b$(D"}
_G1 = {
    b"\x1b)I": "shift_jis",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "iso8859_11",
    b"\x1b-b": "iso8859_15",
}
_RUN = re.compile(rb"\x1b(?:\$?[()-][A-Za-z]|\$[@B])|[\x00-\x1a\x1c-\x7f]+|[\x80-\xff]+|\x1b")
_DELIMITERS = re.compile(rb"[\\^=\r\n\f\t]")


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """A value of SpecificCharacterSet (0008,0005).

    Attributes
    ----------
    codec : str
        Python's codec of the first term, which is in force at the beginning of a value and after delimiters.
    extended : bool
        Escape sequences may switch to other sets (ISO 2022).
    declared : bool
        The set was named and is known; otherwise bytes past ASCII are a guess.
    """

    codec: str
    extended: bool
    declared: bool

    def decode(self, raw: bytes) -> str:
        """Decode the bytes of a value; those that mean nothing become U+FFFD. Never raises."""
        if raw.isascii() and (not self.extended or b"\x1b" not in raw):
            return raw.decode("ascii")
        if self.extended and b"\x1b" in raw:
            return self._decode_extended(raw)
        if self.codec == "ascii":
            return _guess(raw)
        return raw.decode(self.codec, "replace")

    def encode(self, text: str) -> bytes | None:
        """Encode text without code extensions, or answer None where this set lacks one of its characters."""
        if text.isascii():
            return text.encode("ascii")
        if not self.declared or self.codec == "ascii":
            return None
        try:
            raw = text.encode(self.codec)
        except UnicodeEncodeError:
            return None
        # The codec of JIS X 0201 is wider than the set, and a backslash byte inside a character would split it.
        return raw if raw.decode(self.codec) == text and self.codec != "shift_jis" else None

    def _decode_extended(self, raw: bytes) -> str:
        low, high = "ascii", self.codec
        last = high
        parts = []
        for run in _RUN.findall(raw):
            if run in _G0:
                low = _G0[run]
            elif run in _G1:
                high = last = _G1[run]
            elif run[0] >= 0x80:
                # Sloppy writers do not designate G1 again after a delimiter.
                codec = last if high == "ascii" else high
                parts.append(_guess(run) if codec == "ascii" else run.decode(codec, "replace"))
            elif low == "ascii":
                parts.append(run.decode("ascii"))
                if _DELIMITERS.search(run):
                    high = self.codec
            else:
                parts.append((low.encode() + run).decode("iso2022_jp_2", "replace"))
        return "".join(parts)


def _guess(raw: bytes) -> str:
    """Decode undeclared bytes: what is valid UTF-8 by chance is rarely anything else, and Latin-1 never fails."""
    try:
        return raw.decode("utf_8")
    except UnicodeDecodeError:
        return raw.decode("latin_1")


@lru_cache(maxsize=256)
def character_set(terms: tuple[str, ...]) -> CharacterSet:
    """Understand the values of SpecificCharacterSet; unknown terms fall back to the default repertoire.

    Parameters
    ----------
    terms : tuple of str
        The values; empty where the element is absent or empty.
    """
    known = [_normal(term) for term in terms]
    first = known[0] if known else "6"
    codec = "ascii" if first is None or first in _EXTENSIONS else _CODECS[first]
    return CharacterSet(codec, first not in _STANDALONE, first is not None)


def _normal(term: str) -> str | None:
    """Give the key in `_CODECS` of a defined term, misspelt or not; the empty term is the default repertoire."""
    term = term.strip(" \0").upper()
    if not term:
        return "6"
    if term in _CODECS and not term.isdigit():
        return term
    if term in _ALIASES:
        return _ALIASES[term]
    match = _TERM.match(term)
    return match[1] if match and match[1] in _CODECS else None


DEFAULT = character_set(())
UTF_8 = character_set(("ISO_IR 192",))
