"""A peer that speaks the part of Elasticsearch's HTTP interface that is used, as its public reference describes it: indexes, `_bulk`, `_search`
with `bool`, `term(s)`, `multi_match`, `sort`, `search_after`, `from` and terms aggregations."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "secret"


class Peer(ThreadingHTTPServer):
    indexes: dict[str, dict[str, dict[str, Any]]]
    asked: list[tuple[str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Peer

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((method, self.path))
        if self.headers.get("Authorization") != f"ApiKey {KEY}":
            return self._send(401, {"error": {"type": "security_exception"}, "status": 401})
        if method == "PUT":
            return self._make(self.path[1:], json.loads(body))
        if self.path == "/_bulk":
            return self._bulk(body)
        return self._search(self.path.split("/")[1], json.loads(body))

    def _make(self, name: str, body: dict[str, Any]) -> None:
        if name in self.server.indexes:
            return self._send(400, {"error": {"type": "resource_already_exists_exception"}, "status": 400})
        assert body["mappings"]["dynamic"] is False
        self.server.indexes[name] = {}
        return self._send(200, {"acknowledged": True})

    def _bulk(self, body: bytes) -> None:
        assert self.headers["Content-Type"] == "application/x-ndjson" and body.endswith(b"\n")
        lines = iter(body.splitlines())
        items = []
        for line in lines:
            ((action, about),) = json.loads(line).items()
            index = self.server.indexes[about["_index"]]
            if action == "index":
                index[about["_id"]] = json.loads(next(lines))
            else:
                index.pop(about["_id"], None)
            items.append({action: {"status": 200}})
        self._send(200, {"errors": False, "items": items})

    def _search(self, name: str, body: dict[str, Any]) -> None:
        found = []
        for id, source in self.server.indexes[name].items():
            parts = body["query"]["bool"]
            scores = [score(source, clause["multi_match"]) for clause in parts["must"]]
            if all(holds(source, clause) for clause in parts["filter"]) and all(scores):
                found.append((sum(scores), id, source))
        if "sort" in body:
            fields = [next(iter(entry.items())) for entry in body["sort"]]
            for field, way in reversed(fields):
                found.sort(key=lambda entry: entry[2][field], reverse=way == "desc")
            hits: list[dict[str, Any]] = [{"_id": id, "sort": [source[field] for field, _ in fields]} for _, id, source in found]
            after = body.get("search_after")
            if after is not None:
                place = next(number for number, hit in enumerate(hits) if hit["sort"] == after)
                hits = hits[place + 1 :]
        else:
            found.sort(key=lambda entry: -entry[0])
            hits = [{"_id": id} for _, id, _ in found][body.get("from", 0) :]
        answer: dict[str, Any] = {"hits": {"hits": hits[: body["size"]]}}
        if "aggs" in body:
            answer["aggregations"] = {name: {"buckets": buckets(found, about["terms"]["field"])} for name, about in body["aggs"].items()}
        self._send(200, answer)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def holds(source: dict[str, Any], clause: dict[str, Any]) -> bool:
    ((kind, about),) = clause.items()
    ((field, wanted),) = about.items()
    values = source[field] if isinstance(source[field], list) else [source[field]]
    return bool(set(values) & (set(wanted) if kind == "terms" else {wanted}))


def score(source: dict[str, Any], match: dict[str, Any]) -> int:
    total = 0
    for entry in match["fields"]:
        field, _, boost = entry.partition("^")
        words = source[field].split()
        hit = any(word.startswith(match["query"]) if match["type"] == "phrase_prefix" else word == match["query"] for word in words)
        total += int(boost or 1) * hit
    return total


def buckets(found: list[Any], field: str) -> list[dict[str, Any]]:
    values = [value for _, _, source in found for value in (source[field] if isinstance(source[field], list) else [source[field]])]
    return [{"key": key, "doc_count": count} for key, count in Counter(values).most_common(30)]


@contextmanager
def running() -> Iterator[tuple[Peer, str]]:
    peer = Peer(("127.0.0.1", 0), Handler)
    peer.indexes, peer.asked = {}, []
    thread = threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer, f"http://127.0.0.1:{peer.server_address[1]}"
    finally:
        peer.shutdown()
        thread.join()
        peer.server_close()
