"""Traces for OpenTelemetry: one span for each request and one for each of its stages, sent to a collector by OTLP.

A caller's W3C `traceparent` is continued and its sampling decision kept; else the environment's share decides. The
RequestContext keeps the times of stages, which become spans after the answer. Without a collector nothing is kept.
BentoML's own tracing stays off: its spans have no stages.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bentos.http.request_context import RequestContext

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SERVER_FAULT = 500


class Tracing:
    """Makes the spans of one service, and sends them from a thread of its own."""

    def __init__(self, endpoint: str, *, share: float, release: str) -> None:
        """Send to `endpoint`, an OTLP/HTTP collector's URL for traces, a share in [0, 1] of what begins here."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        about = {"service.name": "recommender", "intentflow.release": release}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)), resource=Resource.create(about), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("intentflow")

    def begin(self, context: RequestContext, path: str, headers: Mapping[bytes, bytes]) -> "Span":
        """Open the span of a request; the context takes its trace id, which the request log then names."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        given = {name: headers[name.encode()].decode("latin-1") for name in ("traceparent", "tracestate")
                 if name.encode() in headers}  # fmt: skip
        parent = TraceContextTextMapPropagator().extract(given)
        about = {"http.request.method": "POST", "url.path": path, "intentflow.request_id": context.request_id}
        span = self._tracer.start_span(f"POST {path}", context=parent, kind=SpanKind.SERVER, attributes=about)
        context.trace_id = format(span.get_span_context().trace_id, "032x")
        context.stages = [] if span.is_recording() else None
        return span

    def end(self, span: "Span", context: RequestContext, status: int) -> None:
        """Close the span of a request, with those of its stages."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        within = set_span_in_context(span)
        for name, start, end in context.stages or ():
            self._tracer.start_span(name, context=within, start_time=start).end(end)
        span.set_attribute("http.response.status_code", status)
        if context.mirrored:
            span.set_attribute("intentflow.mirrored", True)
        if status >= SERVER_FAULT:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()
