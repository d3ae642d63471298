"""Arrivals that break the standard and can be used all the same: what is refused, and what is completed."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from neurdicom.blobs.base import Spool
from neurdicom.dicom.bare import completion
from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dicom.uids import check_conformant_uid
from neurdicom.errors import NotDicom

_PIECE = 1024 * 1024
_UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")


@dataclass(frozen=True, slots=True)
class Strictness:
    """Strictness with files that arrive; what is stored already stays usable.

    Attributes
    ----------
    uids : bool
        Refuse UIDs that are not in the form of PS3.5 9.1 (setting `uids`).
    part10 : bool
        Refuse files without preamble or File Meta Information (setting `part10`).
    """

    uids: bool = False
    part10: bool = False

    def check(self, header: Header) -> None:
        """Check the UIDs of an arrival. Raises `Invalid`."""
        if self.uids:
            for name in _UIDS:
                check_conformant_uid(str(header.attributes[name]), name)


LENIENT = Strictness()


def completed(spool: Spool, new_spool: Callable[[], Spool]) -> Spool:
    """Write a dataset without File Meta Information to a spool with one, in a thread.

    Parameters
    ----------
    spool : Spool
        The file as it arrived; discarded if another one is returned.
    new_spool : callable
        Makes an empty spool.

    Returns
    -------
    Spool
        The whole file; `spool` itself if that lacks nothing.

    Raises
    ------
    NotDicom
        It is no dataset, or its Pixel Data is compressed and nothing says how.
    """
    prefix, start = completion(spool.head)
    if not prefix:
        return spool
    whole = new_spool()
    try:
        whole.write(prefix)
        while piece := os.pread(spool.descriptor, _PIECE, start):
            whole.write(piece)
            start += len(piece)
        layout = read_header(whole.descriptor, whole.head, whole.size).layout
        is_ours = layout.dataset_offset == len(prefix)
        if is_ours and layout.pixel_keyword is not None and layout.pixel_length is None:
            raise NotDicom("the file has no File Meta Information, and nothing says how its Pixel Data is compressed")
    except BaseException:
        whole.discard()
        raise
    spool.discard()
    return whole
