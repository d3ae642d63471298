"""Indexes of the collections: attributes that are made filterable must not be more than MongoDB can index."""

import pytest

from neurdicom.catalog.mongo.schema import index_keys, unique_names
from neurdicom.dicom.query.attributes import Level

#: MongoDB's limit for a collection, one of them for `_id`.
MOST = 64


@pytest.mark.parametrize("level", list(Level))
def test_mongodb_takes_the_indexes(level: Level) -> None:
    assert len(index_keys(level)) + len(unique_names(level)) + 1 <= MOST
