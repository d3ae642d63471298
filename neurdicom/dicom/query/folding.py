"""Folding of text into the keys that searches compare: case, blanks, accents, and what names may leave out."""

import re
import unicodedata
from functools import lru_cache

#: Number of these rules; a catalog folds its keys anew where it was written by others.
VERSION = 2

#: Separators of the words of a person name: its delimiters, and what people write there.
_BETWEEN_WORDS = re.compile(r"[\^=\s,;\-]+")

#: Letters without a decomposition and without "WITH" in their names, as they are written without them.
_LETTERS = {
    "æ": "ae",
    "œ": "oe",
    "ð": "d",
    "þ": "th",
    "ı": "i",
    "ŋ": "n",
    "ĸ": "k",
    "ȷ": "j",
    "ƿ": "w",
    "ɛ": "e",
    "ɔ": "o",
}


def search_key(text: str) -> str:
    """Fold text for comparison: compatibility forms, case and outer spaces are ignored."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def name_key(group: str) -> str:
    """Fold a component group of a person name: blanks around components and trailing `^` are ignored (PS3.5 6.2.1).

    A group of empty components alone is `^`.
    """
    key = search_key(group)
    if "^" not in key:
        return key
    return "^".join(component.strip() for component in key.split("^")).rstrip("^") or "^"


def name_patterns(group: str) -> list[str]:
    """Fold a pattern of a component group into patterns that find it also where trailing components are left out.

    `DOE^*` finds `doe^*` and `doe`.
    """
    key = name_key(group)
    components = key.split("^")
    needed = len(components)
    while needed > 1 and components[needed - 1] and not components[needed - 1].strip("*"):
        needed -= 1
    if needed == len(components):
        return [key]
    rest = "^".join(components[:needed])
    return [rest.rstrip("^") or "^", f"{rest}^*"]


def word_key(text: str) -> str:
    """Fold a word of a name as `search_key` does, and remove accents and strokes."""
    key = search_key(text)
    if key.isascii():
        return key
    split = unicodedata.normalize("NFKD", key)
    plain = "".join(map(_plain, split))
    return unicodedata.normalize("NFKC", plain)


@lru_cache(4096)
def _plain(char: str) -> str:
    """Return a letter without its marks: `ø` (O WITH STROKE) as `o`, a combining mark as nothing."""
    if char.isascii():
        return char
    if unicodedata.combining(char):
        return ""
    if char in _LETTERS:
        return _LETTERS[char]
    base, mark, _ = unicodedata.name(char, "").partition(" WITH ")
    try:
        return unicodedata.lookup(base) if mark else char
    except KeyError:
        return char


def words(name: str) -> list[str]:
    """Split a person name into the words of all its component groups."""
    return [word for word in _BETWEEN_WORDS.split(name) if word]
