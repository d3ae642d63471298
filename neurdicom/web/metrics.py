"""Metrics of requests, in Prometheus' form, and the access log."""

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from neurdicom import __version__
from neurdicom.http.base import ApiHandler
from neurdicom.http.routing import Route
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.storage import StorageOverview

_access_log = logging.getLogger("neurdicom.access")

#: Most characters of a path that are logged; a client may send 64 KiB of them.
_LONGEST_PATH = 512

#: Upper bounds in seconds, from a lookup in the catalog to a slow plugin.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@runtime_checkable
class DimseStatus(Protocol):
    """State and counts of the DIMSE services."""

    @property
    def port(self) -> int:
        """TCP port for associations; 0 for none."""

    @property
    def associations(self) -> int:
        """Number of accepted associations at this moment."""

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Number of received instances by outcome: `stored`, `replaced`, `duplicate`, `rejected`."""


class Metrics:
    """Metrics of one server, in a registry of their own.

    Parameters
    ----------
    routes : iterable of Route
        Requests are counted by a route's path, never by a request's, so that the time series stay few.
    dimse : DimseStatus
        Counts associations and instances.
    results : ResultStore
        Counts hits.
    overview : StorageOverview
        Counts damaged files, and what is stored.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self, routes: Iterable[Route], dimse: DimseStatus, results: ResultStore, overview: StorageOverview
    ) -> None:
        self._paths: dict[type, str] = {}
        for route in routes:
            self._paths.setdefault(route.handler, route.path)
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(_Dimse(dimse))
        registry.register(_Results(results))
        registry.register(_Storage(overview))
        damaged = Gauge(
            "neurdicom_damaged_files", "Stored files that are damaged, and not given out.", registry=registry
        )
        damaged.set_function(lambda: overview.damaged_files)
        labels = ("method", "route")
        self._requests = Counter(
            "neurdicom_http_requests", "Answered requests.", (*labels, "status"), registry=registry
        )
        self._seconds = Histogram(
            "neurdicom_http_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._under_way = Gauge("neurdicom_http_requests_under_way", "Requests under way.", registry=registry)
        Gauge("neurdicom_info", "The server's version.", ("version",), registry=registry).labels(__version__).set(1)

    def observe(self, handler: ApiHandler) -> None:
        """Count an answered request."""
        method = handler.request.method or ""
        route = self._paths.get(type(handler), "other")
        if route == "other":
            method = "other"  # the client chose it, and every value would make a time series of its own
        self._requests.labels(method, route, str(handler.get_status())).inc()
        self._seconds.labels(method, route).observe(handler.request.request_time())

    def expose(self, *, under_way: int) -> bytes:
        """Format all metrics as text (format 0.0.4)."""
        self._under_way.set(under_way)
        return generate_latest(self.registry)


class _Dimse(Collector):
    """Collector of the metrics of the DIMSE services, which count for themselves."""

    def __init__(self, dimse: DimseStatus) -> None:
        self._dimse = dimse

    def collect(self) -> Iterable[Metric]:
        """Yield the current values."""
        yield GaugeMetricFamily(
            "neurdicom_dimse_associations",
            "Accepted DIMSE associations at this moment.",
            value=self._dimse.associations,
        )
        instances = CounterMetricFamily(
            "neurdicom_dimse_instances", "Instances received by C-STORE, by outcome.", labels=["outcome"]
        )
        for outcome in ("stored", "replaced", "duplicate", "kept", "rejected"):
            instances.add_metric([outcome], self._dimse.outcomes.get(outcome, 0))
        yield instances


class _Results(Collector):
    """Collector of the metrics of stored results."""

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    def collect(self) -> Iterable[Metric]:
        """Yield the current values."""
        counts = self._results.counts
        looks = CounterMetricFamily("neurdicom_results", "Requested results, by outcome.", labels=["outcome"])
        for outcome, told in (
            ("hit", counts["hits"]),
            ("miss", counts["misses"]),
            ("shared", counts["shared"]),
            ("current", counts["current"]),
        ):
            looks.add_metric([outcome], told)
        yield looks
        kept = CounterMetricFamily(
            "neurdicom_results_kept", "Computed results, by whether they were kept.", labels=["outcome"]
        )
        for outcome in ("kept", "dropped", "evicted"):
            kept.add_metric([outcome], counts[outcome])
        yield kept
        yield CounterMetricFamily(
            "neurdicom_results_hit_bytes", "Bytes that were read from kept results.", value=counts["hit_bytes"]
        )
        yield GaugeMetricFamily("neurdicom_results_bytes", "Bytes of kept results.", value=self._results.size)


class _Storage(Collector):
    """Collector of the metrics of the storage, as of the last measurement."""

    def __init__(self, overview: StorageOverview) -> None:
        self._overview = overview

    def collect(self) -> Iterable[Metric]:
        """Yield the current values."""
        use = self._overview.use
        stored = GaugeMetricFamily(
            "neurdicom_stored_bytes", "Bytes of stored files, by what has them.", labels=["kind"]
        )
        for kind, size in (("instances", use.instances), ("trash", use.trash)):
            stored.add_metric([kind], size)
        yield stored
        yield GaugeMetricFamily(
            "neurdicom_max_storage_bytes",
            "Bytes that instances and the trash may take; 0 for no limit.",
            value=self._overview.max_bytes,
        )
        yield GaugeMetricFamily(
            "neurdicom_protected_bytes", "Bytes of studies that the quota never deletes.", value=use.protected
        )
        yield GaugeMetricFamily(
            "neurdicom_over_max_storage",
            "1 while more is stored than may be, and nothing can be deleted; otherwise 0.",
            value=int(use.alert is not None),
        )


def log_request(metrics: Metrics, handler: ApiHandler) -> None:
    """Log and count an answered request, without its query, since filters hold patients' names."""
    metrics.observe(handler)
    status = handler.get_status()
    level = logging.ERROR if status == 500 else logging.INFO
    if not _access_log.isEnabledFor(level):
        return
    request = handler.request
    principal = handler.principal
    _access_log.log(
        level,
        "%s %s",
        request.method,
        request.path[:_LONGEST_PATH],
        extra={
            "status": status,
            "ms": round(request.request_time() * 1000, 1),
            "address": request.remote_ip,
            "user": principal.email if principal else None,
            "request_id": handler.request_id,
        },
    )
