"""A Dask cluster, and an executor that uses it as a server would."""

from collections.abc import Iterator

import pytest

from tests.support.dask_cluster import DaskCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Two Dask workers with a thread each."""
    with DaskCluster(tmp_path_factory.mktemp("dask")) as running:
        yield running
