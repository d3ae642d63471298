"""The conformance statement against a running SCP: its contexts, its keys, its implementation."""

import re
from collections.abc import Iterable, Iterator

import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom import AE

from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dimse.statuses import FIND, NORMALIZED, RETRIEVE, TABLE
from tests.support.checkout import CHECKOUT
from tests.support.server import Server

STATEMENT = (CHECKOUT / "docs" / "conformance.md").read_text(encoding="utf-8")
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
MOST_CONTEXTS = 128
UID = r"[0-9]+(?:\.[0-9]+)+"


def table(heading: str) -> list[list[str]]:
    """The rows of the table that begins with a heading."""
    after = STATEMENT[STATEMENT.index(f"| {heading} |") :]
    rows = []
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def accepted(server: Server, contexts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the pairs of SOP class and transfer syntax that the server takes."""
    taken = set()
    for group in groups(list(contexts)):
        ae = AE("TESTER")
        for sop_class, syntax in group:
            ae.add_requested_context(sop_class, syntax)
        assoc = ae.associate("127.0.0.1", server.dimse_port)
        assert assoc.is_established
        taken |= {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])) for context in assoc.accepted_contexts
        }
        assoc.release()
    return taken


def groups(contexts: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Cut into what fits into an association."""
    for start in range(0, len(contexts), MOST_CONTEXTS):
        yield contexts[start : start + MOST_CONTEXTS]


def uids(kind: str) -> list[str]:
    """The UIDs of a kind in PS3.6."""
    return [uid for uid, (_, its_kind, *_) in UID_dictionary.items() if its_kind == kind]


@pytest.fixture(scope="module")
def taken(dimse: Server) -> set[str]:
    """All SOP classes that the server takes, of all that there are."""
    classes = {*uids("SOP Class"), *(row[1] for row in table("storage SOP class"))}
    return {sop_class for sop_class, _ in accepted(dimse, ((uid, IMPLICIT) for uid in sorted(classes)))}


def test_sop_classes(taken: set[str]) -> None:
    """Accept all SOP classes of the statement, and no others."""
    storage = {row[1] for row in table("storage SOP class")}
    services = {row[1] for row in table("SOP class") if row[3] == "yes"}
    assert taken == storage | services


def test_transfer_syntaxes(dimse: Server) -> None:
    """Accept the statement's transfer syntaxes for instances, for identifiers and for Verification."""
    named = {row[1] for row in table("transfer syntax")}
    every = uids("Transfer Syntax")
    assert {syntax for _, syntax in accepted(dimse, ((CT, syntax) for syntax in every))} == named
    for uid in (row[1] for row in table("SOP class") if "Query" in row[0]):
        assert {syntax for _, syntax in accepted(dimse, ((uid, syntax) for syntax in every))} == {EXPLICIT, IMPLICIT}
    plain = {syntax for _, syntax in accepted(dimse, (("1.2.840.10008.1.1", syntax) for syntax in every))}
    assert plain == {EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}


def test_keys() -> None:
    """The keys of each level are those that are indexed."""
    levels = {"PATIENT": Level.PATIENT, "STUDY": Level.STUDY, "SERIES": Level.SERIES, "IMAGE": Level.INSTANCE}
    for name, keys in table("level"):
        indexed = {attribute.keyword for attribute in AT_LEVEL[levels.pop(name)] if attribute.filterable}
        assert set(keys.split(", ")) == indexed - {"TransferSyntaxUID"}
    assert not levels


def test_implementation(dimse: Server) -> None:
    """Compare the server's class UID and version name in an association with the statement."""
    ae = AE("TESTER")
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", dimse.dimse_port)
    assert assoc.is_established
    says = assoc.acceptor
    assert f"| Implementation Class UID | {says.implementation_class_uid} |" in STATEMENT
    assert str(says.implementation_version_name).startswith("NEURDICOM_")
    assert f"| maximum PDU length, received | {says.maximum_length} |" in STATEMENT
    assoc.release()


def test_uids() -> None:
    """The tables hold UIDs, each once."""
    named = [row[1] for row in (*table("storage SOP class"), *table("transfer syntax"), *table("SOP class"))]
    assert len(named) == len(set(named))
    assert all(re.fullmatch(UID, uid) for uid in named)


def test_statuses() -> None:
    """Every status that an error can have is in one of the statement's tables."""
    named = set(re.findall(r"^\| ([0-9A-F]{4}) \|", STATEMENT, flags=re.MULTILINE))
    given = {status for errors in (TABLE, FIND, RETRIEVE, NORMALIZED) for status in errors.values()}
    assert {f"{status:04X}" for status in given} <= named
