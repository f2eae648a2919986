"""A server that exports spans to a collector: its misses and errors, and no hit."""

import asyncio
import gzip
import socket
from pathlib import Path

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edge.words import KIB
from tests.support.edgeproc import client, describing_origin, proven, running_edge

SEGMENT = f"/s/{100 * KIB}/seg.ts"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_misses_and_errors_reach_the_collector_and_hits_do_not(tmp_path: Path) -> None:
    spans: list[tuple[str, dict[str, object]]] = []

    async def collect(request: web.Request) -> web.Response:
        raw = await request.read()
        said = ExportTraceServiceRequest.FromString(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
        for resource in said.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
                    spans.append((span.trace_id.hex(), told))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    file = tmp_path / "edge.toml"
    file.write_text(f'[trace]\nendpoint = "http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"\nsample = 1.0\n')
    async with describing_origin() as origin:
        async with running_edge(tmp_path / "c", origin.url, "--config", str(file), workers=1) as edge, client() as http:
            for _ in range(3):
                ask = http.get(edge.url + SEGMENT + "?token=secret", headers={"traceparent": PARENT})
                async with ask as got:
                    proven(SEGMENT, await got.read())
            await origin.stop()
            async with http.get(edge.url + "/s/1000/never-seen.ts") as got:
                assert got.status == 502
            assert await edge.stop() == 0  # what waits is sent
    await runner.cleanup()
    statuses = [(told["http.response.status_code"], told["edge.cache_status"]) for _, told in spans]
    assert statuses == [(200, "miss"), (502, "bypass")]
    trace, told = spans[0]
    assert trace == PARENT.split("-")[1]
    assert (told["url.path"], told["edge.stored"]) == (SEGMENT, 0)  # a bool is neither a string nor an int there
    assert "secret" not in str(spans)
    assert "127.0.0.1" not in str({key: value for key, value in told.items() if key != "edge.upstream"})
    assert spans[1][1]["error.type"]


async def test_a_collector_that_does_not_answer_holds_up_neither_players_nor_a_stop(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        file = tmp_path / "edge.toml"
        file.write_text(f'[trace]\nendpoint = "http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"\nsample = 1.0\n')
        async with (
            describing_origin() as origin,
            running_edge(tmp_path / "c", origin.url, "--config", str(file), workers=1) as edge,
            client() as http,
        ):
            for number in range(20):
                async with http.get(f"{edge.url}/s/1000/{number}.ts") as got:
                    assert got.status == 200
            began = loop.time()
            assert await edge.stop() == 0
            assert loop.time() - began < 15  # drain_timeout is 30 s, the exporter's own patience 10 s a try
            assert not any("killed" in line for line in edge.lines)
