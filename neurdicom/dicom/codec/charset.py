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
#: Defined terms as the standard spells them.
_DEFINED = frozenset(
    {"", "GB18030", "GBK", "ISO_IR 192"}
    | {f"ISO_IR {term}" for term in _CODECS if term not in ("58", "87", "149", "159")}
    | {f"ISO 2022 IR {term}" for term in _CODECS if term != "192"}
)
#: Terms whose codec needs an escape sequence first; their initial state is ASCII.
_EXTENSIONS = frozenset({"58", "87", "149", "159"})
#: Sets with characters of several bytes, and the codecs of text that has no escape sequences: the set's own, then the
#: wider ones that writers use under its name. The two Japanese sets are one here, since EUC has both.
_MULTI_BYTE = {
    "58": ("gb2312", "utf_8", "gb18030"),
    "149": ("euc_kr", "utf_8", "cp949"),
    "87": ("euc_jp", "utf_8", "cp932"),
    "159": ("euc_jp", "utf_8", "cp932"),
    "192": ("utf_8",),
    "GB18030": ("gb18030",),
    "GBK": ("gbk", "gb18030"),
}
#: Codecs of wider sets for bytes that the set has not.
_WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030"}
_TERM = re.compile(r"(?:ISO[ _-]*)?(?:2022)?[ _-]*(?:IR)[ _-]*(\d+)\Z|ISO[ _-]*(?:2022)?[ _-]*(\d{1,3})\Z")
#: Parts of ISO 8859, by which some writers name the sets.
_PART = re.compile(r"(?:ISO)?[ _-]*8859[ _-]*(\d+)\Z|LATIN[ _-]*(\d)\Z")
_PARTS = {"1": "100", "2": "101", "3": "109", "4": "110", "5": "144", "6": "127", "7": "126", "8": "138", "9": "148"}
_PARTS |= {"11": "166", "15": "203"}
_LATIN = {"1": "100", "2": "101", "3": "109", "4": "110", "5": "148", "9": "203"}
#: Spellings outside the standard that occur in files.
_ALIASES = {
    "UTF8": "192",
    "UTF-8": "192",
    "UTF_8": "192",
    "UNICODE": "192",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 GB18030": "GB18030",
    "GB2312": "58",
    "GB 18030": "GB18030",
    "EUC-KR": "149",
    "EUC_KR": "149",
    "SHIFT_JIS": "13",
    "SHIFT-JIS": "13",
    "ASCII": "6",
    "US-ASCII": "6",
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
        True if the sets are named by terms that the standard defines; otherwise no text past ASCII is written in them.
    terms : tuple of str
        Keys in `_CODECS` of the sets that text may be in, in the order of the values.
    undesignated : tuple of str
        Python's codecs to try for bytes past ASCII that no escape sequence gives a meaning: many writers leave it out
        where the terms name exactly one set with characters of several bytes.
    """

    codec: str
    extended: bool
    declared: bool
    terms: tuple[str, ...] = ()
    undesignated: tuple[str, ...] = ()

    def decode(self, raw: bytes) -> str:
        """Decode the bytes of a value; undecodable ones become U+FFFD. Never raises."""
        if raw.isascii() and (not self.extended or b"\x1b" not in raw):
            return raw.decode("ascii")
        if self.extended and b"\x1b" in raw:
            return self._decode_extended(raw)
        return self._guess(raw) if self.codec == "ascii" else _decode(raw, self.codec)

    def _guess(self, raw: bytes) -> str:
        """Decode bytes without a designation; UTF-8 and Latin-1, which never fails, are the last resorts."""
        for codec in (*self.undesignated, "utf_8"):
            try:
                return raw.decode(codec)
            except UnicodeDecodeError:
                pass
        return raw.decode("latin_1")

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
        if not (self.extended and self.declared):
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
                parts.append(self._guess(run) if codec == "ascii" else _decode(run, codec))
            elif low == "ascii":
                parts.append(run.decode("ascii"))
                if _DELIMITERS.search(run):
                    high = self.codec
            else:
                parts.append((low.encode() + run).decode("iso2022_jp_2", "replace"))
        return "".join(parts)


def _decode(raw: bytes, codec: str) -> str:
    """Decode bytes of a set, or of the wider one that writers use under its name."""
    if (wider := _WIDER.get(codec)) is not None:
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            codec = wider
    return raw.decode(codec, "replace")


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
    several = {_MULTI_BYTE[term] for term in known if term in _MULTI_BYTE}
    undesignated = several.pop() if len(several) == 1 else ()
    declared = all(term.strip(" \0") in _DEFINED for term in terms) if any(terms) else bool(terms)
    return CharacterSet(codec, extended, declared, usable, undesignated)


def _normal(term: str) -> str | None:
    """Return the key in `_CODECS` of a defined term, misspelt or not; the empty term is the default repertoire."""
    term = term.strip(" \0").upper()
    if not term:
        return "6"
    if term in _CODECS and not term.isdigit():
        return term
    if term in _ALIASES:
        return _ALIASES[term]
    if match := _TERM.match(term):
        number = match[1] or match[2]
        return number if number in _CODECS else None
    if match := _PART.match(term):
        return _PARTS.get(match[1]) if match[1] else _LATIN.get(match[2])
    return None


DEFAULT = character_set(())
UTF_8 = character_set(("ISO_IR 192",))
