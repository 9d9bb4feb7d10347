"""Traces of requests for OpenTelemetry: a span a request, and one a stage of it, sent to a collector by OTLP.

A caller's W3C `traceparent` is continued, and its sampling decision kept; else the environment's share decides. Stages
are noted as times while the request is worked on, and become spans after the answer. Where no collector is named
nothing is noted. BentoML's own tracing stays off: its spans know nothing of stages.
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

    def begin(self, turn: RequestContext, path: str, headers: Mapping[bytes, bytes]) -> "Span":
        """Open the span of a request; its trace id is the turn's, so that the request log names it."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        given = {name: headers[name.encode()].decode("latin-1") for name in ("traceparent", "tracestate")
                 if name.encode() in headers}  # fmt: skip
        parent = TraceContextTextMapPropagator().extract(given)
        about = {"http.request.method": "POST", "url.path": path, "intentflow.request_id": turn.request_id}
        span = self._tracer.start_span(f"POST {path}", context=parent, kind=SpanKind.SERVER, attributes=about)
        turn.trace_id = format(span.get_span_context().trace_id, "032x")
        turn.stages = [] if span.is_recording() else None
        return span

    def end(self, span: "Span", turn: RequestContext, status: int) -> None:
        """Close the span of a request, with those of its stages."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        within = set_span_in_context(span)
        for name, start, end in turn.stages or ():
            self._tracer.start_span(name, context=within, start_time=start).end(end)
        span.set_attribute("http.response.status_code", status)
        if turn.mirrored:
            span.set_attribute("intentflow.mirrored", True)
        if status >= SERVER_FAULT:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()
