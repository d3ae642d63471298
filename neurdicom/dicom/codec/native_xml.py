"""Conversion between the DICOM JSON model (PS3.18 F) and the Native DICOM Model in XML (PS3.19 A.1)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from neurdicom.dicom.codec.dictionary import keyword
from neurdicom.dicom.codec.stream import MAX_DEPTH
from neurdicom.errors import Malformed

_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
#: Characters that XML 1.0 can't carry.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(dataset: Mapping[str, Any]) -> bytes:
    """Write a dataset as an XML document.

    Parameters
    ----------
    dataset : Mapping[str, Any]
        The DICOM JSON model. A BulkDataURI becomes the `uri` of a BulkData element.

    Returns
    -------
    bytes
        UTF-8. Characters that XML 1.0 can't represent are U+FFFD.
    """
    body = "".join(_attributes(dataset))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">'
        f"{body}</NativeDicomModel>"
    ).encode()


def _attributes(dataset: Mapping[str, Any]) -> Iterator[str]:
    for tag, element in dataset.items():
        vr = str(element.get("vr") or "UN")
        yield f'<DicomAttribute tag="{tag}" vr="{vr}"{_names(tag, dataset)}>'
        if "BulkDataURI" in element:
            yield f"<BulkData uri={quoteattr(_clean(element['BulkDataURI']))}/>"
        elif "InlineBinary" in element:
            yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
        else:
            for number, value in enumerate(element.get("Value") or (), 1):
                yield from _value(vr, number, value)
        yield "</DicomAttribute>"


def _names(tag: str, dataset: Mapping[str, Any]) -> str:
    """Write the XML attribute that names an element: its keyword, or its private creator."""
    if int(tag[:4], 16) & 1:
        creator = dataset.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") if tag[4:6] != "00" else None
        return f" privateCreator={quoteattr(_clean(creator[0]))}" if creator and isinstance(creator, list) else ""
    name = keyword(tag)
    return "" if name == tag.lower() else f' keyword="{name}"'


def _value(vr: str, number: int, value: Any) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value or {})
        yield "</Item>"
    elif value is None:
        yield f'<Value number="{number}"/>'
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        yield from (_name(group, value[group]) for group in _GROUPS if value.get(group))
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{_escaped(value)}</Value>'


def _name(group: str, text: str) -> str:
    parts = zip(_COMPONENTS, text.split("^"), strict=False)
    inner = "".join(f"<{name}>{_escaped(part)}</{name}>" for name, part in parts if part)
    return f"<{group}>{inner}</{group}>"


def _escaped(value: Any) -> str:
    # A parser would read a bare carriage return as a line feed.
    return escape(_clean(value), {"\r": "&#13;"})


def _clean(value: Any) -> str:
    return _FORBIDDEN.sub("\ufffd", str(value))


def from_xml(document: bytes) -> dict[str, Any]:
    """Read an XML document as a dataset in the DICOM JSON model; its numbers stay text.

    Raises
    ------
    Malformed
        It is not a NativeDicomModel, is not in UTF-8, or has a document type declaration, which may define entities.
    """
    try:
        text = document.decode("utf_8_sig")
    except UnicodeDecodeError as error:
        raise Malformed("the XML is not in UTF-8") from error
    if "<!DOCTYPE" in text:
        raise Malformed("the XML has a document type declaration (<!DOCTYPE), which is refused; leave it out")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (its attacks need entities, so a declaration)
    except (ElementTree.ParseError, ValueError) as error:
        raise Malformed(f"the XML is not well-formed: {error}") from error
    if _local(root) != "NativeDicomModel":
        raise Malformed(f"the XML is a {_local(root)[:40]!r}; a NativeDicomModel is expected")
    return _dataset(root, 0)


def _local(node: ElementTree.Element) -> str:
    """Return the name of an XML element without its namespace, which many writers leave out."""
    return node.tag.rpartition("}")[2]


def _dataset(parent: ElementTree.Element, depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise Malformed(f"sequences are nested deeper than {MAX_DEPTH}")
    return {node.get("tag", "").upper(): _read(node, depth) for node in parent if _local(node) == "DicomAttribute"}


def _read(node: ElementTree.Element, depth: int) -> dict[str, Any]:
    element: dict[str, Any] = {"vr": node.get("vr")}
    values: list[Any] = []
    for child in node:
        kind = _local(child)
        if kind == "BulkData":
            element["BulkDataURI"] = child.get("uri") or child.get("uuid") or ""
        elif kind == "InlineBinary":
            element["InlineBinary"] = "".join((child.text or "").split())
        elif kind == "Item":
            values.append(_dataset(child, depth + 1))
        elif kind == "PersonName":
            values.append({_local(group): _components(group) for group in child if _local(group) in _GROUPS} or None)
        elif kind == "Value":
            values.append(child.text or None)
    return element | {"Value": values} if values else element


def _components(group: ElementTree.Element) -> str:
    parts = {_local(part): part.text or "" for part in group}
    return "^".join(parts.get(name, "") for name in _COMPONENTS).rstrip("^")
