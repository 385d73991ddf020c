"""Counters of the service for Prometheus, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from training.evaluation.drift import Drift

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class ServiceMetrics:
    """What /metrics shows.

    Args:
        waiting: returns how many pictures wait for the network now.
        at_work: returns how many requests are at work now.
    """

    def __init__(self, waiting: Callable[[], int], at_work: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter(
            "requests", "Requests to classify, by how they came and status.", "door", "status"
        )
        self.seconds = Histogram(
            "classifier_request_seconds",
            "Time from a request's first byte to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.refusals = self._counter("refusals", "Requests and pictures that were refused, by reason.", "reason")
        self.answers = self._counter("answers", "Pictures answered with a class.", "label")
        self.none = self._counter("none", "Pictures answered none of the classes, by reason.", "reason")
        self.kept = self._counter("kept", "Pictures kept for review.")
        self.reloads = self._counter("model_reloads", "Attempts to load a model that has changed.", "outcome")
        self.batch = Histogram(
            "classifier_batch_pictures", "Pictures per forward pass.", buckets=_BATCHES, registry=self._registry
        )
        self._model = self._gauge("model", "The model that answers: 1.", "run")
        self._drift = self._gauge("drift", "Distance of the latest answers from those to the test pictures.", "measure")
        self._limit = self._gauge("drift_limit", "Distance that chance explains; more is drift.", "measure")
        self._window = self._gauge("drift_answers", "Latest answers that are compared with the test pictures'.")
        self._gauge("queue_pictures", "Pictures that wait for the network.").set_function(waiting)
        self._gauge("requests_at_work", "Requests that are being answered.").set_function(at_work)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"classifier_{name}", words, labels, registry=self._registry)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"classifier_{name}", words, labels, registry=self._registry)

    def text(self, run_id: str, answers: int, drift: Drift | None) -> bytes:
        """Write the metrics as text.

        Args:
            run_id: of the model that answers now.
            answers: in the window.
            drift: the latest comparison; None where nothing could be compared.
        """
        self._model.clear()
        self._model.labels(run_id).set(1)
        self._window.set(answers)
        for gauge in (self._drift, self._limit):
            gauge.clear()
        for name, test in drift.tests.items() if drift else ():
            self._drift.labels(name).set(test.statistic)
            self._limit.labels(name).set(test.limit)
        return generate_latest(self._registry)
