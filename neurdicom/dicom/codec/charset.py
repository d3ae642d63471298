"""Character sets of DICOM text, decoded and encoded (PS3.5 6.1, PS3.3 C.12.1.1.2).

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
#: To write: the escape sequences of the sets in G1, by their number, and of those in G0.
_DESIGNATIONS = {term: escape for escape, codec in _G1.items() for term in _CODECS if _CODECS[term] == codec}
_KANJI = {"87": b"\x1b$B", "159": b"\x1b$(D"}
_COMPONENTS = re.compile(r"([\\^=\r\n\f\t])")
_DELIMITERS = re.compile(rb"[\\^=\r\n\f\t]")


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """The character sets that a SpecificCharacterSet (0008,0005) declares.

    Attributes
    ----------
    codec : str
        Python's codec of the first term, which is in force at the beginning of a value and after delimiters.
    extended : bool
        True if escape sequences may switch to other sets (ISO 2022).
    declared : bool
        True if the set was named and is known; otherwise the meaning of bytes past ASCII is guessed.
    terms : tuple of str
        Keys in `_CODECS` of the sets that text may be in, in the order of the values.
    """

    codec: str
    extended: bool
    declared: bool
    terms: tuple[str, ...] = ()

    def decode(self, raw: bytes) -> str:
        """Decode the bytes of a value; undecodable ones become U+FFFD. Never raises."""
        if raw.isascii() and (not self.extended or b"\x1b" not in raw):
            return raw.decode("ascii")
        if self.extended and b"\x1b" in raw:
            return self._decode_extended(raw)
        if self.codec == "ascii":
            return _guess(raw)
        return raw.decode(self.codec, "replace")

    def encode(self, text: str) -> bytes | None:
        """Encode text without code extensions; return None where the first set lacks one of its characters."""
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

    def encode_extended(self, text: str) -> bytes | None:
        """Encode text with code extensions (PS3.5 6.1.2.5); return None where no one set can write a whole component.

        Between delimiters only one set is used beside ASCII, and the initial sets are in force again before each of
        them.
        """
        if not self.extended:
            return None
        parts = []
        for part in _COMPONENTS.split(text):
            raw = self._component(part)
            if raw is None:
                return None
            parts.append(raw)
        whole = b"".join(parts)
        return whole if self.decode(whole) == text else None

    def _component(self, text: str) -> bytes | None:
        if text.isascii():
            return text.encode("ascii")
        for place, term in enumerate(self.terms):
            codec, katakana = _CODECS[term], all(char.isascii() or "\uff61" <= char <= "\uff9f" for char in text)
            try:
                raw = text.encode("iso2022_jp_1" if codec == "iso2022_jp_2" else codec)
            except UnicodeEncodeError:
                continue
            if term in ("87", "159"):
                # One of them may bring the other in, or JIS X 0201.
                escapes = set(re.findall(rb"\x1b\$?\(?[A-Z]", raw))
                if escapes <= {_KANJI[each] for each in _KANJI.keys() & set(self.terms)} | {b"\x1b(B"}:
                    return raw.replace(b"\x1b(B", b"\x1b(J") if self.terms[0] == "13" else raw
            elif term != "13" or katakana:
                initial = place == 0 and term not in _EXTENSIONS
                return raw if initial else _DESIGNATIONS.get(term, b"") + raw
        return None

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
    """Decode bytes of an undeclared set as UTF-8 if they are valid UTF-8, else as Latin-1, which never fails."""
    try:
        return raw.decode("utf_8")
    except UnicodeDecodeError:
        return raw.decode("latin_1")


@lru_cache(maxsize=256)
def character_set(terms: tuple[str, ...]) -> CharacterSet:
    """Look up the character sets that SpecificCharacterSet names; unknown terms mean the default repertoire.

    Parameters
    ----------
    terms : tuple of str
        The values; empty where the element is absent or empty.

    Returns
    -------
    CharacterSet
    """
    known = [_normal(term) for term in terms]
    first = known[0] if known else "6"
    codec = "ascii" if first is None or first in _EXTENSIONS else _CODECS[first]
    extended = first not in _STANDALONE
    usable = tuple(term for term in known if term is not None and not (extended and term in _STANDALONE))
    return CharacterSet(codec, extended, first is not None, usable)


def _normal(term: str) -> str | None:
    """Return the key in `_CODECS` of a defined term, misspelt or not; the empty term is the default repertoire."""
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
