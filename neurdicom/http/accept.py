"""Content negotiation (PS3.18 8.7, RFC 9110 12.5.1): Accept headers, parsed leniently, and the choice of an offer.

Viewers write `multipart/related; type="application/octet-stream"; transfer-syntax=*` with and without quotes, omit the
type, or send nothing at all. Parts that can't be parsed are ignored; they never make a request fail by themselves.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PIECES = re.compile(r'(?:[^,;"]|"(?:[^"\\]|\\.)*"?)+|[,;]')
_MULTIPART = ("multipart/related", "multipart/*")
_SYNTAX_NAMES = ("transfer-syntax", "transfersyntax", "transfer_syntax")

#: Names that clients use besides those of the standard.
_ALIASES = {
    "image/x-jls": "image/jls",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/jpg": "image/jpeg",
    "video/mpeg2": "video/mpeg",
}

ANY = "*"
"""Value of a transfer syntax that stands for the stored one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Representation that the server can send.

    Attributes
    ----------
    media_type : str
        Of the answer, or of each of its parts.
    multipart : bool
        Whether it is sent as multipart/related.
    syntaxes : frozenset of str or None
        UIDs of the transfer syntaxes that it can be in; None where there is no choice.
    """

    media_type: str
    multipart: bool = False
    syntaxes: frozenset[str] | None = None

    def __str__(self) -> str:
        return f'multipart/related; type="{self.media_type}"' if self.multipart else self.media_type


@dataclass(frozen=True, slots=True)
class MediaRange:
    """Alternative of an Accept header.

    Attributes
    ----------
    media_type : str
        In lower case, such as `image/*`; of the parts where `multipart` is set, `*/*` where their type is omitted.
    multipart : bool or None
        None for `*/*`, which allows both.
    syntax : str or None
        A transfer syntax's UID, `ANY`, or None without the parameter.
    quality : float
        From 0 to 1.
    """

    media_type: str
    multipart: bool | None
    syntax: str | None = None
    quality: float = 1.0

    @property
    def specificity(self) -> int:
        """Rank of the range; the most specific one decides (RFC 9110 12.5.1)."""
        kind = 0 if self.media_type == "*/*" else 1 if self.media_type.endswith("/*") else 2
        return kind * 3 + (self.multipart is not None) + (self.syntax is not None)

    def meets(self, offer: Offer) -> bool:
        """Tell whether an offer is accepted."""
        if self.multipart not in (None, offer.multipart):
            return False
        if self.syntax not in (None, ANY) and offer.syntaxes is not None and self.syntax not in offer.syntaxes:
            return False
        wanted = self.media_type
        return wanted in ("*/*", offer.media_type) or (wanted[-2:] == "/*" and offer.media_type.startswith(wanted[:-1]))


@dataclass(frozen=True, slots=True)
class Choice:
    """Offer that a client accepts.

    Attributes
    ----------
    offer : Offer
        The representation.
    syntaxes : tuple of (str or None)
        Transfer syntaxes that the client accepts, the preferred first: UIDs, `ANY`, or None where it named none.
    """

    offer: Offer
    syntaxes: tuple[str | None, ...] = (None,)


def parse_accept(header: str) -> list[MediaRange]:
    """Parse an Accept header; an empty one accepts everything, and unknown parts are ignored."""
    ranges = [found for pieces in _alternatives(header) if (found := _media_range(pieces)) is not None]
    return ranges if header.strip() else [MediaRange("*/*", None)]


def choose(accepted: Sequence[MediaRange], offers: Sequence[Offer], *, in_order: bool = False) -> Choice | None:
    """Choose the offer that the client prefers; None if none is accepted.

    A higher quality wins, then a more specific range, then the order of the header, then the server's preference, which
    is the order of `offers`.

    Parameters
    ----------
    accepted : sequence of MediaRange
        The parsed header.
    offers : sequence of Offer
        The server's representations, the preferred first.
    in_order : bool
        Put the server's preference before the header's order, to which RFC 9110 gives no meaning: for offers some of
        which take work, or lose something.
    """
    best: tuple[tuple[float, int, int], Offer] | None = None
    for offer in offers:
        fitting = [(each.specificity, -place, each.quality) for place, each in enumerate(accepted) if each.meets(offer)]
        if not fitting:
            continue
        specificity, place, quality = max(fitting)
        rank = (quality, specificity, 0 if in_order else place)
        if quality > 0 and (best is None or rank > best[0]):
            best = (rank, offer)
    if best is None:
        return None
    offer = best[1]
    meeting = [each for each in accepted if each.quality > 0 and each.meets(offer)]
    top = max(each.specificity // 3 for each in meeting)
    named = sorted((each for each in meeting if each.specificity // 3 == top), key=lambda each: -each.quality)
    return Choice(offer, tuple(dict.fromkeys(each.syntax for each in named)))


def accepts_encoding(header: str, coding: str) -> bool:
    """Tell whether an Accept-Encoding header (RFC 9110 12.5.3) accepts a content coding."""
    weights = {}
    for pieces in _alternatives(header):
        parameters = _parameters(pieces[1:])
        weights[pieces[0].lower()] = _quality(parameters.get("q"))
    return weights.get(coding, weights.get("*", 0.0)) > 0


def _alternatives(header: str) -> Iterable[list[str]]:
    """Split a header at its commas and each alternative at its semicolons, but not within quotes."""
    pieces: list[str] = []
    for piece in [*_PIECES.findall(header), ","]:
        if piece == ",":
            if pieces:
                yield pieces
            pieces = []
        elif piece != ";" and piece.strip():
            pieces.append(piece.strip())


def _media_range(pieces: list[str]) -> MediaRange | None:
    # In a query an unescaped plus sign arrives as a space.
    name = pieces[0].strip('"').lower().replace(" ", "+")
    if name == "*":
        name = "*/*"
    if "/" not in name:
        return None
    parameters = _parameters(pieces[1:])
    syntax = next((parameters[key] for key in _SYNTAX_NAMES if key in parameters), None)
    quality = _quality(parameters.get("q"))
    if name in _MULTIPART:
        inner = parameters.get("type", "").lower().replace(" ", "+")
        if inner in ("", "*"):
            inner = "*/*"
        # A type that is none is not left out: nothing has it.
        return MediaRange(_ALIASES.get(inner, inner), True, syntax, quality) if "/" in inner else None
    name = _ALIASES.get(name, name)
    return MediaRange(name, None if name == "*/*" else False, syntax, quality)


def _parameters(pieces: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in pieces:
        name, _, value = piece.partition("=")
        found.setdefault(name.strip().lower(), re.sub(r"\\(.)", r"\1", value.strip().strip('"').strip()))
    return found


def _quality(text: str | None) -> float:
    if text is None:
        return 1.0
    # Not float(): it takes infinity, underscores and other scripts' digits.
    return min(float(text), 1.0) if re.fullmatch(r"\d{1,3}(\.\d{0,9})?|\.\d{1,9}", text, re.ASCII) else 0.0
