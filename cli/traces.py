"""Spans of a command, sent to where the environment says: nothing is loaded for it where it says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mmsearch.cli import formatting

# As OpenTelemetry names them: the address of a collector, for all that is sent to it, and for spans alone.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def exported(command: str) -> Iterator[None]:
    """Spans in here go to the collector that the environment names, over HTTP; OpenTelemetry reads its settings."""
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "") == "true":
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        formatting.say(f"no traces are sent: pip install 'mmsearch[telemetry]' ({error})")
        yield
        return
    from mmsearch import __version__

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "mmsearch"), "service.version": __version__}
    provider = TracerProvider(resource=Resource.create({**named, "mmsearch.command": command}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()  # sends what is left
