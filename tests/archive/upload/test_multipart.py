"""Multipart bodies in every form that RFC 2046 allows, in pieces of every size."""

import random

import pytest

from neurdicom.archive.upload.multipart import MultipartReader, PartBegins, PartData, PartEnds
from neurdicom.errors import Malformed

DATA = b"DICM \x00\xff\r\r\n\n--\r\n--B\n-- BB\r\r"
TYPE = ("content-type", "application/dicom")


def parse(body: bytes, boundary: str = "BB", step: int = 0) -> list[tuple[dict[str, str], bytes]]:
    """Parse a body in pieces of a size; return its parts, which must all be whole."""
    reader = MultipartReader(f"multipart/related; type=application/dicom; boundary={boundary}")
    parts: list[tuple[dict[str, str], bytes]] = []
    is_open = False
    for start in range(0, len(body), step or len(body)):
        for event in reader.feed(body[start : start + (step or len(body))]):
            if isinstance(event, PartBegins):
                assert not is_open
                is_open = True
                parts.append((dict(event.headers), b""))
            elif isinstance(event, PartData):
                assert is_open and event.data
                parts[-1] = parts[-1][0], parts[-1][1] + bytes(event.data)
            else:
                assert isinstance(event, PartEnds) and is_open
                is_open = False
    assert reader.complete and not is_open
    return parts


def body_of(*heads: bytes, end: bytes = b"\r\n", data: bytes = DATA) -> bytes:
    """A body with a part for each head, in lines that end in `end`."""
    parts = (b"--BB" + end + head.replace(b"\r\n", end) + end + end + data + end for head in heads)
    return b"".join(parts) + b"--BB--" + end


HEAD = b"Content-Type: application/dicom"
#: Bodies, and what each part has besides the data.
BODIES: dict[str, tuple[bytes, list[dict[str, str]]]] = {
    "usual": (body_of(HEAD), [dict([TYPE])]),
    "several": (body_of(HEAD, HEAD, HEAD), [dict([TYPE])] * 3),
    "a folded header": (
        body_of(b"Content-Type: application/dicom;\r\n transfer-syntax=1.2.3"),
        [{"content-type": "application/dicom; transfer-syntax=1.2.3"}],
    ),
    "a header folded by a tab, in several lines": (
        body_of(b"Content-Type:\r\n\tapplication/dicom;\r\n \t a=b;\r\n   c=d\r\nContent-Location: x"),
        [{"content-type": "application/dicom; a=b; c=d", "content-location": "x"}],
    ),
    "a blank line of white space in a header": (body_of(HEAD + b"\r\n \r\nX: y"), [dict([TYPE]) | {"x": "y"}]),
    "names in any case, without and with white space": (
        body_of(b"CONTENT-type:application/dicom\r\ncontent-LOCATION :  a b \r\nX:"),
        [dict([TYPE]) | {"content-location": "a b", "x": ""}],
    ),
    "headers in another order": (body_of(b"X: y\r\n" + HEAD), [{"x": "y"} | dict([TYPE])]),
    "a quoted value with a colon and semicolons": (body_of(b'X: "a:b; c"'), [{"x": '"a:b; c"'}]),
    "no headers": (b"--BB\r\n\r\n" + DATA + b"\r\n--BB--\r\n", [{}]),
    "blanks after boundaries": (
        b"--BB \r\n" + HEAD + b"\r\n\r\n" + DATA + b"\r\n--BB \t \r\n\r\n" + DATA + b"\r\n--BB-- \r\n",
        [dict([TYPE]), {}],
    ),
    "no line end after the last boundary": (body_of(HEAD).removesuffix(b"\r\n"), [dict([TYPE])]),
    "a preamble and an epilogue": (
        b"Some preamble\r\n with --BB in it\r\n--BBB\r\n" + body_of(HEAD) + b"epilogue\r\n--BB\r\nmore\r\n--BB--",
        [dict([TYPE])],
    ),
    "blank lines before": (b"\r\n\r\n" + body_of(HEAD), [dict([TYPE])]),
    "LF alone": (body_of(HEAD, b"X: y\r\n z", end=b"\n"), [dict([TYPE]), {"x": "y z"}]),
    "LF alone after a preamble": (b"x\n\n" + body_of(HEAD, end=b"\n"), [dict([TYPE])]),
    "LF alone before boundaries": (body_of(HEAD).replace(b"\r\n--BB", b"\n--BB"), [dict([TYPE])]),
    "LF alone in headers": (body_of(b"X: y\nZ: 1"), [{"x": "y", "z": "1"}]),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 7, 16])
def test_forms(name: str, step: int) -> None:
    body, heads = BODIES[name]
    data = DATA if name != "LF alone before boundaries" else DATA.removesuffix(b"\r")
    assert parse(body, step=step) == [(head, data) for head in heads]


def test_an_empty_part() -> None:
    for body in (b"--BB\r\nX: y\r\n\r\n\r\n--BB--", b"--BB\r\nX: y\r\n\r\n--BB--", b"--BB\nX: y\n\n\n--BB--\n"):
        for step in range(5):
            assert parse(body, step=step) == [({"x": "y"}, b"")]


@pytest.mark.parametrize(
    "boundary",
    ["a", "b" * 70, "b" * 71, "b" * 200, "----=_Part_1.2", "--", "a--", "0'()+_,-./:=?", "a b c", "a\\b", "é"],
)
def test_boundaries(boundary: str) -> None:
    line = b"--" + boundary.encode("latin-1")
    data = b"\r\n" + line[:-1] + b"\r\n" + line + b"x\r\n" + line[1:]
    body = line + b"\r\nX: y\r\n\r\n" + data + b"\r\n" + line + b"--\r\n"
    quoted = '"' + boundary.replace("\\", "\\\\") + '"'
    for step in (0, 1, 3, 11):
        assert parse(body, quoted, step) == [({"x": "y"}, data)]


def test_pieces_of_random_sizes_and_data_like_delimiters() -> None:
    chance = random.Random(8)
    for _ in range(300):
        pieces = [b"\r", b"\n", b"--BB", b"-", b" ", b"\r\n--B", b"--BBx", b"\r\n--BB x", b"data", bytes(9)]
        data = b"".join(chance.choices(pieces, k=chance.randrange(12)))
        end = chance.choice([b"\r\n", b"\n"])
        whole = end + data + end
        if b"\n--BB\n" in whole or b"\n--BB\r\n" in whole or b"\n--BB--" in whole or b"\n--BB \n" in whole:
            continue
        if b"\n--BB \r\n" in whole or b"\n--BB  " in whole or data.startswith(b"--BB") or data[-1:] in (b"\r", b"\n"):
            continue
        assert parse(body_of(HEAD, data=data, end=end), step=chance.randrange(1, 40)) == [(dict([TYPE]), data)]


@pytest.mark.parametrize(
    "body",
    [
        b"--BB\r\nno header\r\n\r\nx\r\n--BB--",
        b"--BB\r\n: x\r\n\r\nx\r\n--BB--",
        b"--BB\r\nX: " + b"y" * 9000 + b"\r\n\r\nx\r\n--BB--",
        b"--BB\r\nX: y" + b"\r\n " + b"y" * 5000 + b"\r\n " + b"y" * 5000 + b"\r\n\r\nx\r\n--BB--",
        b"--BB\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(33)) + b"\r\nx\r\n--BB--",
        b"x" * 70_000,
        b"--BB\r\nX: " + b"y" * 9000,
    ],
)
def test_broken_ones_are_refused(body: bytes) -> None:
    for step in (1000, len(body)):
        with pytest.raises(Malformed):
            parse(body, step=step)


@pytest.mark.parametrize("content_type", ["multipart/related", "multipart/related; boundary=", 'x; boundary=" "'])
def test_no_boundary(content_type: str) -> None:
    with pytest.raises(Malformed):
        MultipartReader(content_type)
    with pytest.raises(Malformed):
        MultipartReader("multipart/related; boundary=" + "b" * 2000)


@pytest.mark.parametrize("body", [b"--BB", b"--BB\r\nX: y\r\n\r\nx", b"--BB\r\nX: y\r\n\r\nx\r\n--BB", b"--BB--x" * 0])
def test_what_is_cut_off_is_not_complete(body: bytes) -> None:
    reader = MultipartReader("multipart/related; boundary=BB")
    reader.feed(body)
    assert not reader.complete
