"""Accept headers as viewers, libraries and browsers send them, and what they choose."""

import pytest

from neurdicom.http.accept import Offer, accepts_encoding, choose, parse_accept

EXPLICIT, J2K, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50"
MODEL = (Offer("application/dicom+json"), Offer("application/json"), Offer("application/dicom+xml", multipart=True))
FRAMES = (
    Offer("image/jp2", True, frozenset({J2K})),
    Offer("application/octet-stream", True, frozenset({EXPLICIT})),
    Offer("image/jp2", False, frozenset({J2K})),
    Offer("application/octet-stream", False, frozenset({EXPLICIT})),
)
PICTURES = (Offer("image/jpeg"), Offer("image/png"), Offer("image/gif"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("*", "application/dicom+json"),
        ("application/*", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json, application/json", "application/dicom+json"),
        ("application/dicom json", "application/dicom+json"),
        ("application/dicom+json; charset=utf-8", "application/dicom+json"),
        ("APPLICATION/DICOM+JSON;Q=0.5", "application/dicom+json"),
        ('multipart/related; type="application/dicom+xml"', "application/dicom+xml"),
        ("multipart/related;type=application/dicom+xml", "application/dicom+xml"),
        ("multipart/related", "application/dicom+xml"),
        ('multipart/related; type="application/dicom+xml", application/dicom+json;q=0.9', "application/dicom+xml"),
        ('multipart/related; type="application/dicom+xml";q=0.2, application/dicom+json', "application/dicom+json"),
        ("application/dicom+json;q=0, */*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "application/dicom+json"),
        ("text/html", None),
        ("application/dicom+json;q=0", None),
        ('multipart/related; type="application/dicom"', None),
        ('multipart/related; type="nope"', None),
        ("multipart/related; type=dicom+xml", None),
        ('multipart/related; type="nope", application/json;q=0.1', "application/json"),
        ('multipart/related; type=""', "application/dicom+xml"),
        ('multipart/related; type="*"', "application/dicom+xml"),
        ('multipart/*; type="application/*"', "application/dicom+xml"),
        (",,;;,", None),
        ('"', None),
        ('multipart/related; type="application/dicom+xml', "application/dicom+xml"),
    ],
)
def test_metadata(header: str, expected: str | None) -> None:
    choice = choose(parse_accept(header), MODEL)
    assert (choice.offer.media_type if choice else None) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ("image/jp2", True, (None,))),
        ("*/*", ("image/jp2", True, (None,))),
        ("*/*; transfer-syntax=*", ("image/jp2", True, ("*",))),
        ("multipart/related", ("image/jp2", True, (None,))),
        ("multipart/related; transfer-syntax=*", ("image/jp2", True, ("*",))),
        (
            'multipart/related; type="application/octet-stream"; transfer-syntax=*',
            ("application/octet-stream", True, ("*",)),
        ),
        (
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            ("application/octet-stream", True, ("*",)),
        ),
        (
            f'multipart/related; type="image/jp2"; transfer-syntax={J2K}, multipart/related; type="image/jpeg"',
            ("image/jp2", True, (J2K,)),
        ),
        (f'multipart/related; type="image/jp2"; transfer-syntax="{JPEG}"', None),
        (
            f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}, */*;q=0.1',
            ("image/jp2", True, (None,)),
        ),
        ("image/*", ("image/jp2", False, (None,))),
        ("application/octet-stream", ("application/octet-stream", False, (None,))),
        (
            f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT};q=0.5,"
            "multipart/related; type=application/octet-stream",
            ("application/octet-stream", True, (None, EXPLICIT)),
        ),
        ("video/mp4", None),
    ],
)
def test_frames(header: str, expected: tuple[str, bool, tuple[str | None, ...]] | None) -> None:
    choice = choose(parse_accept(header), FRAMES)
    found = (choice.offer.media_type, choice.offer.multipart, choice.syntaxes) if choice else None
    assert found == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("image/png, */*", "image/png"),
        ("image/*, image/png;q=0.5", "image/jpeg"),
        ("image/webp, image/png;q=0.1", "image/png"),
        ("image/jpeg;q=0.1, image/png;q=1.0", "image/png"),
        ("image/png;q=nan, image/jpeg;q=inf", None),
        ("image/gif;q=٣", None),
    ],
)
def test_pictures(header: str, expected: str | None) -> None:
    choice = choose(parse_accept(header), PICTURES)
    assert (choice.offer.media_type if choice else None) == expected


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip, deflate, br", True),
        ("*", True),
        ("", False),
        ("gzip;q=0, *", False),
        ("br", False),
        ("GZIP;q=0.1", True),
    ],
)
def test_content_codings(header: str, taken: bool) -> None:
    assert accepts_encoding(header, "gzip") is taken
