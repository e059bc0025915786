"""The steps of a search and of an index run, as OpenTelemetry's own exporter in memory and a listener get them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library
from mmsearch.store import steps
from mmsearch.store.steps import heard, step


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """That of this process: there is one, for ever."""
    made = TracerProvider()
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def exporter(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    own = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(own))
    yield own
    own.shutdown()


def short(span: ReadableSpan) -> str:
    return span.name.removeprefix("mmsearch.")


def parents(exporter: InMemorySpanExporter) -> dict[str, set[str | None]]:
    """By the name of a span those of the spans that it is in."""
    spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context is not None}
    found: dict[str, set[str | None]] = {}
    for span in spans.values():
        around = None if span.parent is None else short(spans[span.parent.span_id])
        found.setdefault(short(span), set()).add(around)
    return found


def test_spans_of_an_index_run_and_of_a_search(
    exporter: InMemorySpanExporter, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    own = replace(settings, reranker="auto")
    with open_library(own.library, settings=own, encoder=encoder) as library:
        library.index(photos)
        assert parents(exporter) == {"index": {None}, "index_encode": {"index"}, "index_store": {"index"}}
        exporter.clear()
        library.search("a cat that looks at us", k=3, diverse=True)
    assert parents(exporter) == {
        "search": {None},
        "parse": {"search"},
        "encode": {"parse"},
        **{name: {"search"} for name in ("allow", "words", "retrieve", "tokens", "rerank", "judge", "fold", "facts")},
    }
    (whole,) = (span for span in exporter.get_finished_spans() if short(span) == "search")
    assert dict(whole.attributes or {}) == {
        "mmsearch.k": 3, "mmsearch.offset": 0, "mmsearch.hits": 3, "mmsearch.unreachable": (),
    }  # fmt: skip
    told = [str(value) for span in exporter.get_finished_spans() for value in (span.attributes or {}).values()]
    assert not [text for text in told if "cat" in text or str(photos) in text]  # nor what was asked, nor any path


def test_a_span_has_its_error(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="wrong"), step("search"):
        raise ValueError("wrong")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def test_where_nobody_listens_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, steps._OTEL, raising=False)
    assert step("parse") is step("encode", count=3)
    with step("parse") as told:
        told.note(hits=3)
    assert steps._OTEL not in sys.modules


def test_a_listener_hears_steps_of_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, steps._OTEL, raising=False)
    said: list[tuple[str, bool, str, dict[str, Any]]] = []
    with heard(lambda name, seconds, error, facts: said.append((name, seconds >= 0, type(error).__name__, facts))):
        with step("fold", count=2) as told:
            told.note(hits=1)
        with pytest.raises(KeyError), step("words"):
            raise KeyError
        thread = threading.Thread(target=lambda: step("parse").__enter__().__exit__(None, None, None))
        thread.start()
        thread.join()
    with step("judge"):
        pass
    assert said == [("fold", True, "NoneType", {"count": 2, "hits": 1}), ("words", True, "KeyError", {})]


def test_a_command_sends_its_spans_where_the_environment_says(
    mmsearch_process: CLI, photos: Path, tmp_path: Path
) -> None:
    sent: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        there = f"http://127.0.0.1:{server.server_port}"
        mmsearch_process(
            "index", photos / "cat.png", "--library", tmp_path / "library", OTEL_EXPORTER_OTLP_ENDPOINT=there
        )
        server.shutdown()
        thread.join()
    received = [ExportTraceServiceRequest.FromString(one) for one in sent]
    every = [own for one in received for own in one.resource_spans]
    assert {span.name for own in every for scope in own.scope_spans for span in scope.spans} == {
        "mmsearch.index", "mmsearch.index_encode", "mmsearch.index_store",
    }  # fmt: skip
    named = {field.key: field.value.string_value for own in every for field in own.resource.attributes}
    assert (named["service.name"], named["mmsearch.command"]) == ("mmsearch", "index")
