"""What a collector receives: one span a request, its stages below it, under the caller's trace."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bentos.access import Access
from bentos.http.tracing import Tracing
from bentos.recommender.logs import requestlog
from tests.bentos.http.test_auth import ASK, EVENTS, opened_by

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = CALLER[:-2] + "00"


class Collector:
    """An OTLP/HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[ExportTraceServiceRequest] = []
        keep = self.sent.append

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        return [span for one in self.sent for r in one.resource_spans for s in r.scope_spans for span in s.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_request_is_a_span_with_its_stages_under_the_callers_trace(world: Any, collector: Collector) -> None:
    tracing = Tracing(collector.url, share=0.0, release="r")
    client, _ = opened_by(world, Access(), tracing=tracing)
    client.post("/events", json=EVENTS, headers={"traceparent": CALLER})
    client.post("/recommend", json={"user_id": "a"}, headers={"traceparent": CALLER, "X-Request-Id": "mine"})
    tracing.close()
    spans = {span.name: span for span in collector.spans()}
    assert {"POST /recommend", "POST /events", "read profile", "predict intents", "rank", "log"} <= set(spans)
    root = spans["POST /recommend"]
    assert root.trace_id.hex() == CALLER.split("-")[1]
    assert root.parent_span_id.hex() == CALLER.split("-")[2]
    for name in ("read profile", "predict intents", "rank", "log"):
        assert spans[name].parent_span_id == root.span_id
        assert root.start_time_unix_nano <= spans[name].start_time_unix_nano <= spans[name].end_time_unix_nano
    about = {a.key: a.value.string_value or a.value.int_value for a in root.attributes}
    assert (about["intentflow.request_id"], about["http.response.status_code"]) == ("mine", 200)


def test_what_the_caller_does_not_sample_is_not_sent_but_logged(world: Any, collector: Collector) -> None:
    tracing = Tracing(collector.url, share=1.0, release="r")
    client, _ = opened_by(world, Access(), tracing=tracing)
    client.post("/recommend", json=ASK, headers={"traceparent": UNSAMPLED})
    tracing.close()
    assert collector.spans() == []
    assert list(requestlog.read(world.folder / "requests"))[-1]["trace_id"] == CALLER.split("-")[1]


def test_a_trace_that_begins_here_names_the_line_of_the_log(world: Any, collector: Collector) -> None:
    tracing = Tracing(collector.url, share=1.0, release="r")
    client, _ = opened_by(world, Access(), tracing=tracing)
    client.post("/recommend", json=ASK)
    tracing.close()
    root = next(span for span in collector.spans() if span.name == "POST /recommend")
    assert list(requestlog.read(world.folder / "requests"))[-1]["trace_id"] == root.trace_id.hex()


def test_a_collector_that_is_away_costs_no_answer(world: Any) -> None:
    tracing = Tracing("http://127.0.0.1:9/v1/traces", share=1.0, release="r")
    client, _ = opened_by(world, Access(), tracing=tracing)
    assert client.post("/recommend", json=ASK).status_code == 200
