"""Places of a shard's files in the data folder and in a restored one, as the copied catalog names them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from neurdicom.archive.backup.manifest import KEY
from neurdicom.dicom.header import BlobRef


@dataclass(frozen=True, slots=True)
class FileToBackUp:
    """File of an instance in the data folder.

    Attributes
    ----------
    ref : BlobRef
        Its key, and the size and SHA-256 that are expected.
    is_named : bool
        Whether the copied catalog says that an instance has it.
    places : tuple of str
        Places in which a restored folder has it; the empty one is that of files in use.
    found : tuple of str
        Places in which it may lie now, since it may be moved from one to the other.
    """

    ref: BlobRef
    is_named: bool
    places: tuple[str, ...]
    found: tuple[str, ...]


def files_to_back_up(
    named: Mapping[str, BlobRef] | None,
    garbage: Mapping[str, str],
    listed: Mapping[str, int],
    aside: Mapping[str, Mapping[str, int]],
    latest: str | None,
) -> Iterator[FileToBackUp]:
    """Yield the files of a shard that are backed up, by key.

    A restoration from the trash that is under way has its files in both places, until all is in the catalog. A file
    that no instance has is one that a lost catalog left, unless it is in the trash, or to be moved there.

    Parameters
    ----------
    named : mapping of str to BlobRef, or None
        Files that instances have, by key; None where the catalog is not copied.
    garbage : mapping of str to str
        Files that no instance has any more, with the places that they are moved to, empty where they are deleted.
    listed : mapping of str to int
        Sizes of the files that lie among those in use.
    aside : mapping of str to (mapping of str to int)
        Sizes of the files that are set aside, by place.
    latest : str or None
        The last key of the files that are backed up though no instance has them; None for all.
    """
    for key in sorted({*listed, *aside, *(named or ())}):
        to = garbage.get(key)
        away = {*aside.get(key, {}), *([to] if to else [])}
        is_named = named is not None and key in named
        if is_named or (named is None and key in listed):
            places = {"", *away}
        elif away:
            places = away
        elif to is None and key in listed and (latest is None or key <= latest):
            places = {""}
        else:
            continue
        ref = named[key] if named is not None and is_named else _ref(key, listed, aside)
        yield FileToBackUp(ref, is_named, tuple(sorted(places)), ("", *sorted(away)))


def _ref(key: str, listed: Mapping[str, int], aside: Mapping[str, Mapping[str, int]]) -> BlobRef:
    found = KEY.fullmatch(key)
    assert found is not None
    size = listed[key] if key in listed else max(aside[key].values())
    return BlobRef(key, size, found[1])
