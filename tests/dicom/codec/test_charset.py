"""Text of every character set, in and out."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurdicom.dicom.codec.charset import character_set
from neurdicom.dicom.part10 import read_header
from tests.support.dicom.files import ElementWriter

#: Terms, bytes, text. The names are the examples of PS3.5 annexes H, I, J and K, and of PS3.3 C.12.
EXAMPLES = [
    ((), b"Buc^J\xc3\xa9r\xc3\xb4me", "Buc^Jérôme"),  # undeclared, yet plain
    ((), b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (("ISO_IR 100",), b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (("ISO_IR 101",), b"Wa\xb3\xeasa", "Wałęsa"),
    (("ISO_IR 109",), b"\xa6u", "Ĥu"),
    (("ISO_IR 110",), b"K\xe0z", "Kāz"),
    (("ISO_IR 126",), b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
    (("ISO_IR 127",), b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
    (("ISO_IR 138",), b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    (("ISO_IR 144",), b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    (("ISO_IR 148",), b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
    (("ISO_IR 166",), b"\xb9\xd2\xc1", "นาม"),
    (("ISO_IR 203",), b"\xa4 \xbd", "€ œ"),
    (("ISO_IR 13",), b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
    (
        ("", "ISO 2022 IR 87"),
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (("", "ISO 2022 IR 159"), b"\x1b$(D0!\x1b(B", "丂"),
    (
        ("", "ISO 2022 IR 149"),
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (("", "ISO 2022 IR 149"), b"\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "洪^吉洞"),  # not designated again
    (("", "ISO 2022 IR 58"), b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
    (("GB18030",), "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
    (("GBK",), "Wang^XiaoDong=王^小东=".encode("gbk"), "Wang^XiaoDong=王^小东="),
    (("ISO 2022 IR 6", "ISO 2022 IR 100", "ISO 2022 IR 126"), b"\x1b-F\xc4^\x1b-AJ\xe9", "Δ^Jé"),
    (("ISO_IR_100",), b"J\xe9", "Jé"),
    (("iso 8859-1",), b"J\xe9", "Jé"),
    (("ISO IR 144",), b"\xbb", "Л"),
    (("utf-8",), b"J\xc3\xa9", "Jé"),
    (("ISO_IR 192",), b"J\xe9", "J\ufffd"),
]


#: Codec of each number, text that it has, and the spellings of its term.
SETS = {
    "6": ("ascii", "Buc^Jerome"),
    "13": ("shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "100": ("latin_1", "Buc^Jérôme"),
    "101": ("iso8859_2", "Wałęsa"),
    "109": ("iso8859_3", "Ĥu"),
    "110": ("iso8859_4", "Kāz"),
    "126": ("iso8859_7", "Διονυσιος"),
    "127": ("iso8859_6", "قباني^لنزار"),
    "138": ("iso8859_8", "שרון^דבורה"),
    "144": ("iso8859_5", "Люкceмбypг"),
    "148": ("iso8859_9", "Çavuşoğlu"),
    "166": ("iso8859_11", "นาม"),
    "192": ("utf_8", "Wang^XiaoDong=王^小東"),
    "203": ("iso8859_15", "€ œ"),
}
SPELLINGS = (
    "ISO_IR {}",
    "ISO 2022 IR {}",
    "ISO-IR {}",
    "ISO IR {}",
    "ISO_IR_{}",
    "iso_ir {}",
    " ISO_IR {} ",
    "ISO_IR{}",
)
OTHERS = {"UTF-8": "192", "utf8": "192", "latin1": "100", "Latin-1": "100", "ISO 8859-1": "100", "ISO_8859-5": "144"}

#: Text of the sets with characters of several bytes, and the codecs that writers use without escape sequences.
SEVERAL_BYTES = {
    "149": ("김^희=金^姬", ("euc_kr", "utf_8")),
    "58": ("张^小东", ("gb2312", "utf_8")),
    "87": ("山田^太郎", ("shift_jis", "euc_jp", "utf_8")),
    "159": ("山田^太郎", ("shift_jis", "euc_jp", "utf_8")),
}


@pytest.mark.parametrize("number", SETS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_decodes_each_spelling(number: str, spelling: str) -> None:
    codec, text = SETS[number]
    assert character_set((spelling.format(number),)).decode(text.encode(codec)) == text


@pytest.mark.parametrize("term", OTHERS)
def test_decodes_what_writers_call_a_set(term: str) -> None:
    codec, text = SETS[OTHERS[term]]
    assert character_set((term,)).decode(text.encode(codec)) == text


@pytest.mark.parametrize("number", SEVERAL_BYTES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("before", [(), ("",), ("ISO 2022 IR 6",)])
def test_decodes_without_escape_sequences(number: str, spelling: str, before: tuple[str, ...]) -> None:
    """Exactly one set with characters of several bytes is named, so that is what they are."""
    text, codecs = SEVERAL_BYTES[number]
    charset = character_set((*before, spelling.format(number)))
    for codec in codecs:
        assert charset.decode(text.encode(codec)) == text
    # Text is written in sets that are named as the standard has it; and JIS X 0212 lacks these characters.
    written = charset.encode_extended(text)
    assert (written is not None) == (spelling == "ISO 2022 IR {}" and number != "159")
    assert charset.decode(written or b"") in (text, "")


def test_several_such_sets_leave_it_open() -> None:
    terms = ("", "ISO 2022 IR 149", "ISO 2022 IR 58")
    assert character_set(terms).decode("김".encode("euc_kr")) == "김".encode("euc_kr").decode("latin_1")
    assert character_set(("ISO_IR 100", "ISO 2022 IR 149")).decode(b"J\xe9") == "Jé"
    assert character_set(("", "ISO 2022 IR 87", "ISO 2022 IR 159")).decode("山".encode("euc_jp")) == "山"


@pytest.mark.parametrize(
    ("terms", "codec", "text"),
    [
        (("ISO 2022 IR 149",), "cp949", "똠방"),
        (("ISO_IR 58",), "gbk", "張小東"),
        (("", "GB18030"), "gb18030", "张小东"),
        (("", "GBK"), "gbk", "张小东"),
        (("", "ISO_IR 192"), "utf_8", "张小东"),
        (("ISO_IR 13",), "cp932", "髙橋①"),
        (("GBK",), "gb18030", "㐀"),
    ],
)
def test_decodes_the_wider_sets_that_writers_use(terms: tuple[str, ...], codec: str, text: str) -> None:
    assert character_set(terms).decode(text.encode(codec)) == text


def test_parts_without_a_designation_among_others() -> None:
    raw = "김^".encode("euc_kr") + b"\x1b$)C" + "희".encode("euc_kr") + b"\\" + "철".encode("euc_kr")
    assert character_set(("", "ISO 2022 IR 149")).decode(raw) == "김^희\\철"


@pytest.mark.parametrize(("terms", "raw", "text"), EXAMPLES)
def test_decodes_each_set(terms: tuple[str, ...], raw: bytes, text: str) -> None:
    assert character_set(terms).decode(raw) == text


@pytest.mark.parametrize(("terms", "raw", "text"), [each for each in EXAMPLES if len(each[0]) > 1])
def test_writes_with_code_extensions(terms: tuple[str, ...], raw: bytes, text: str) -> None:
    """The examples of the standard come out as they are there, but for what may be written in several ways."""
    charset = character_set(terms)
    written = charset.encode_extended(text)
    assert written is not None
    assert charset.decode(written) == text
    if len(terms) == 2 and terms[0] == "" and raw.count(b"\x1b") == written.count(b"\x1b"):
        assert written == raw


@given(
    text=st.text(st.sampled_from("aé山田ｱЛ홍张丂^=\\ \x1b"), max_size=12),
    terms=st.lists(
        st.sampled_from(
            ["", "ISO 2022 IR 100", "ISO 2022 IR 87", "ISO 2022 IR 159", "ISO 2022 IR 149", "ISO 2022 IR 58"]
        ),
        max_size=4,
    ),
)
def test_what_code_extensions_write_they_read(text: str, terms: list[str]) -> None:
    charset = character_set(tuple(terms))
    written = charset.encode_extended(text)
    assert written is None or charset.decode(written) == text


def test_a_backslash_byte_inside_a_character_separates_no_values(tmp_path: Path) -> None:
    # The second byte of each of these characters is 5CH.
    cases = [
        ("GB18030", "\u6a11\\b".encode("gb18030"), ["樑", "b"]),
        ("\\ISO 2022 IR 87", "表".encode("iso2022_jp") + b"\\b", ["表", "b"]),
        ("\\ISO 2022 IR 87", b"\x1b$B!\\\x1b(B\\b", ["＋", "b"]),
    ]
    path = tmp_path / "file.dcm"
    writer = ElementWriter()
    for charset, raw, values in cases:
        path.write_bytes(writer.file(writer.dataset(writer.element(0x00081040, "LO", raw), charset=charset)))
        assert orjson.loads(read_header(path).json)["00081040"]["Value"] == values


def test_items_take_over_the_set_or_have_their_own(tmp_path: Path) -> None:
    writer = ElementWriter()
    name = writer.element(0x00100010, "PN", b"\xbb\xee")
    own = writer.element(0x00080005, "CS", "ISO_IR 144") + name
    sequence = writer.sequence(0x00081115, writer.item(name), writer.item(own), writer.item(name))
    path = tmp_path / "file.dcm"
    path.write_bytes(writer.file(writer.dataset(sequence, name, charset="ISO_IR 100")))
    dataset = orjson.loads(read_header(path).json)
    names = [item["00100010"]["Value"][0]["Alphabetic"] for item in (*dataset["00081115"]["Value"], dataset)]
    assert names == ["»î", "Лю", "»î", "»î"]


@given(
    raw=st.binary(max_size=60),
    terms=st.lists(
        st.sampled_from(["", "ISO_IR 100", "ISO 2022 IR 87", "ISO 2022 IR 149", "GB18030", "ISO_IR 13", "?"])
    ),
)
def test_bytes_never_raise_and_text_can_always_be_written(raw: bytes, terms: list[str]) -> None:
    text = character_set(tuple(terms)).decode(raw)
    text.encode("utf_8")


@given(
    text=st.text(max_size=20),
    terms=st.sampled_from([(), ("ISO_IR 100",), ("ISO_IR 192",), ("GB18030",), ("ISO_IR 13",)]),
)
def test_what_a_set_encodes_it_decodes(text: str, terms: tuple[str, ...]) -> None:
    charset = character_set(terms)
    try:
        raw = charset.encode(text)
    except UnicodeEncodeError:
        assert any("\ud800" <= char <= "\udfff" for char in text)
        return
    assert raw is None or b"\x1b" in raw or charset.decode(raw) == text
