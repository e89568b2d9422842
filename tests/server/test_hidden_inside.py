"""What is inside a published graph stays there: a buyer who looks at everything a server says finds nothing of it. The worker is a real process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import pytest
import pytest_asyncio

from marquetry.engine.events import HIDDEN, AnyEvent, InnerFinished
from tests.server.peer import Peer, Socket
from tests.server.secrets import MARKS, served

INSIDE = {
    "hush-paint": {"class_type": "SecretPaint", "inputs": {"words": "hush words", "shade": 40, "steps": 4}},
    "hush-grow": {"class_type": "SecretGrow", "inputs": {"image": ["hush-paint", 0]}},
    "hush-save": {"class_type": "SaveImage", "inputs": {"images": ["hush-grow", 0], "filename_prefix": "made"}},
}
INTERFACE: dict[str, Any] = {
    "inputs": [{"name": "shade", "node": "hush-paint", "input": "shade", "options": {"max": 200}}],
    "outputs": [{"name": "picture", "node": "hush-grow"}],
    "shows": ["hush-save"],
}


@dataclass
class Market:
    """A server with a creator, a second one, and a buyer whose every view is kept."""

    peer: Peer
    people: dict[str, str] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)
    told: list[AnyEvent] = field(default_factory=list)

    def headers(self, name: str) -> dict[str, str]:
        return {"comfy-user": self.people[name]}

    async def join(self, *names: str) -> None:
        for name in names:
            self.people[name] = await self.peer.json("POST", "/api/users", json={"username": name})

    async def creator(self, name: str) -> None:
        body = {"handle": name, "name": name}
        await self.peer.json("PUT", "/api/v1/marketplace/creator", json=body, headers=self.headers(name))

    async def publish(self, name: str, slug: str, graph: dict[str, Any], status: int = 201, **interface: Any) -> dict[str, Any]:
        body = {"kind": "workflow", "slug": slug, "title": slug.title(), "publish": True}
        version = {"version": "1.0.0", "workflow": {"graph": graph, **interface}}
        listed: dict[str, Any] = await self.peer.json(
            "POST", "/api/v1/marketplace/list", status, json={**body, "version": version}, headers=self.headers(name)
        )
        return listed

    async def look(self, method: str, path: str, **request: Any) -> bytes:
        """What the buyer gets, also where it is an error; kept."""
        async with self.peer.session.request(method, path, headers=self.headers("carl"), **request) as answer:
            data = await answer.read()
            self.seen.append(data + repr(dict(answer.headers)).encode())
            return data

    async def socket(self) -> Socket:
        """The buyer's."""
        return await self.peer.socket("carl", supports_preview_metadata=True)

    async def submit(self, graph: dict[str, Any], **more: Any) -> tuple[str, Socket]:
        socket = await self.socket()
        answer = orjson.loads(await self.look("POST", "/prompt", json={"prompt": graph, "client_id": "carl", **more}))
        assert "prompt_id" in answer, answer
        return str(answer["prompt_id"]), socket

    async def run(self, graph: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Run as the buyer, look everywhere, and give the history's entry."""
        prompt_id, socket = await self.submit(graph, **more)
        await socket.ended(prompt_id)
        self.seen += [orjson.dumps(text) for text in socket.texts] + [data for _, data in socket.frames]
        for path in ("/history", f"/history/{prompt_id}", "/queue", f"/api/jobs/{prompt_id}", f"/api/v1/jobs/{prompt_id}", "/api/v1/jobs",
                     f"/api/v1/jobs/{prompt_id}/results", f"/api/v1/jobs/{prompt_id}/events", "/api/v1/queue", "/api/v1/queue/times",
                     "/internal/logs", "/internal/logs/raw", "/api/v1/prompts/suggest"):  # fmt: skip
            await self.look("GET", path)
        entry: dict[str, Any] = orjson.loads(await self.look("GET", f"/history/{prompt_id}"))[prompt_id]
        for output in entry["outputs"].values():
            for file in output.get("images", ()):
                assert await self.look("GET", "/view", params=file)
        return entry

    def leaks(self) -> list[bytes]:
        """Everything seen that holds what should be hidden."""
        told = [msgspec.json.encode(event) for event in self.told if type(event) not in HIDDEN]
        return [data[:2000] for data in [*self.seen, *told] if any(mark.encode().lower() in data.lower() for mark in MARKS)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    async with served(tmp_path_factory.mktemp("market") / "data") as peer:
        market = Market(peer)
        hear = peer.jobs._dispatcher._hear

        def listen(job_id: str, events: Sequence[AnyEvent]) -> None:
            market.told.extend(events)
            hear(job_id, events)

        peer.jobs._dispatcher._intake._hear = listen
        await market.join("ann", "bob", "carl")
        await market.creator("ann")
        await market.creator("bob")
        await market.publish("ann", "portrait", INSIDE, **INTERFACE)
        yield market


@pytest.fixture(autouse=True)
def fresh(market: Market) -> None:
    market.seen.clear()
    market.told.clear()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def used(shade: int = 7, type_id: str = "listing:ann/portrait") -> dict[str, Any]:
    return {
        "7": {"class_type": type_id, "inputs": {"shade": shade}},
        "8": {"class_type": "ImageInvert", "inputs": {"image": ["7", 0]}},
        "9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}},
    }


async def test_a_published_graph_is_a_node_that_makes_what_its_inside_makes(market: Market) -> None:
    entry = await market.run(used(shade=100), extra_data={"extra_pnginfo": {"workflow": {"nodes": [{"id": 7}]}}})
    assert entry["status"]["status_str"] == "success"
    assert sorted(entry["outputs"]) == ["7", "9"]
    assert entry["outputs"]["7"]["images"][0]["filename"].startswith("made")
    assert sorted(market_nodes(orjson.loads(orjson.dumps(entry)))) == ["7", "8", "9"]
    file = entry["outputs"]["9"]["images"][0]
    assert abs(brightness(await market.look("GET", "/view", params=file)) - 100) <= 1  # painted, inverted inside, inverted outside
    assert market.leaks() == []


async def test_saved_pictures_hold_the_outer_graph_only(market: Market) -> None:
    workflow = {"nodes": [{"id": 7, "type": "listing:ann/portrait"}]}
    entry = await market.run(used(shade=101), extra_data={"extra_pnginfo": {"workflow": workflow}})
    texts = written_in(await market.look("GET", "/view", params=entry["outputs"]["7"]["images"][0]))
    assert orjson.loads(texts["prompt"]) == used(shade=101)
    assert orjson.loads(texts["workflow"]) == workflow
    assert market.leaks() == []


async def test_events_name_the_outer_nodes_only_and_there_are_no_previews_of_inner_ones(market: Market) -> None:
    prompt_id, socket = await market.submit(used(shade=102))
    heard = await socket.ended(prompt_id)
    named = {data[key] for _, data in heard for key in ("node", "display_node", "node_id") if data.get(key) is not None}
    assert named <= {"7", "8", "9"}
    states = [nodes for kind, data in heard if kind == "progress_state" for nodes in data["nodes"]]
    assert set(states) <= {"7", "8", "9"}
    assert socket.frames == []
    assert [data["nodes"] for kind, data in heard if kind == "execution_cached"] == [[]]


async def test_times_are_told_of_the_whole_and_not_of_its_parts(market: Market) -> None:
    prompt_id, socket = await market.submit(used(shade=103))
    await socket.ended(prompt_id)
    detail = orjson.loads(await market.look("GET", f"/api/v1/jobs/{prompt_id}"))
    assert sorted(detail["nodes"]) == ["7", "8", "9"]
    assert detail["nodes"]["7"]["duration_s"] > 0
    assert market.leaks() == []


async def test_usage_of_the_inside_reaches_metering_and_nobody_else(market: Market) -> None:
    await market.run(used(shade=104))
    hidden = [event for event in market.told if type(event) is InnerFinished]
    operations = sorted(use.operation for event in hidden for use in event.usage)
    assert operations == ["image.standard"]
    assert {event.display_id for event in hidden} == {"7"}
    assert {event.listing for event in hidden} == {"listing:ann/portrait@1.0.0"}
    own = [use for event in market.told for use in getattr(event, "usage", ()) if event.node_id == "7"]  # type: ignore[union-attr]
    assert [(use.operation, len(use.resources)) for use in own] == [("graph.use", 1)]
    assert market.leaks() == []


async def test_what_was_made_before_is_cached_as_a_whole(market: Market) -> None:
    await market.run(used(shade=105))
    prompt_id, socket = await market.submit(used(shade=105))
    heard = await socket.ended(prompt_id)
    cached = [data["nodes"] for kind, data in heard if kind == "execution_cached"]
    assert [sorted(nodes) for nodes in cached] == [["7", "8", "9"]]
    market.seen += [orjson.dumps(text) for text in socket.texts]
    assert market.leaks() == []


async def test_a_graph_that_cant_run_is_not_published(market: Market) -> None:
    graph = {"1": {"class_type": "SecretPaint", "inputs": {"words": "", "shade": 900, "steps": 1}}}
    refused = await market.publish("ann", "wrong", graph, 400, outputs=[{"name": "picture", "node": "1"}])
    assert refused["error"]["code"] == "invalid_listing"
    assert refused["error"]["details"]["problems"][0]["type"] == "value_bigger_than_max"


async def test_an_error_inside_names_the_listing_and_its_input(market: Market) -> None:
    graph = {
        "hush-paint": {"class_type": "SecretPaint", "inputs": {"words": "hush", "shade": 1, "steps": 2}},
        "hush-fail": {"class_type": "SecretFail", "inputs": {"image": ["hush-paint", 0], "words": "hush"}},
    }
    await market.publish("ann", "breaks", graph, inputs=[{"name": "shade", "node": "hush-paint", "input": "shade"}],
                         outputs=[{"name": "picture", "node": "hush-fail"}])  # fmt: skip
    entry = await market.run({
        "4": {"class_type": "listing:ann/breaks", "inputs": {"shade": 5}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    })  # fmt: skip
    errors = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    assert [(error["node_id"], error["node_type"]) for error in errors] == [("4", "listing:ann/breaks@1.0.0")]
    assert "listing:ann/breaks@1.0.0" in errors[0]["exception_message"]
    assert "'shade'" in errors[0]["exception_message"]
    assert errors[0]["traceback"] == [] and errors[0]["current_inputs"] == {}
    assert market.leaks() == []


async def test_a_blocked_value_from_inside_says_nothing_of_why(market: Market) -> None:
    graph = {
        "hush-paint": {"class_type": "SecretPaint", "inputs": {"words": "hush", "shade": 1, "steps": 2}},
        "hush-block": {"class_type": "SecretBlock", "inputs": {"image": ["hush-paint", 0]}},
    }
    await market.publish("ann", "blocks", graph, outputs=[{"name": "picture", "node": "hush-block"}])
    entry = await market.run({
        "4": {"class_type": "listing:ann/blocks", "inputs": {}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    })  # fmt: skip
    assert entry["status"]["status_str"] == "error"
    assert market.leaks() == []


async def test_a_listing_that_uses_a_listing_runs_and_hides_both(market: Market) -> None:
    await market.publish("ann", "innermost", INSIDE, **INTERFACE)
    graph = {
        "hush-b": {"class_type": "listing:ann/innermost", "inputs": {"shade": 60}},
        "hush-c": {"class_type": "ImageInvert", "inputs": {"image": ["hush-b", 0]}},
    }
    await market.publish("bob", "twice", graph, inputs=[{"name": "light", "node": "hush-b", "input": "shade"}],
                         outputs=[{"name": "picture", "node": "hush-c"}])  # fmt: skip
    entry = await market.run({
        "1": {"class_type": "listing:bob/twice", "inputs": {"light": 90}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    })  # fmt: skip
    assert sorted(entry["outputs"]) == ["2"]
    assert abs(brightness(await market.look("GET", "/view", params=entry["outputs"]["2"]["images"][0])) - 90) <= 1
    hidden = [event for event in market.told if type(event) is InnerFinished]
    assert {use.operation for event in hidden for use in event.usage} == {"graph.use", "image.standard"}
    assert {event.display_id for event in hidden} == {"1"}
    assert market.leaks() == []
    assert b"innermost" not in b"".join(market.seen)


async def test_a_node_of_the_buyer_sees_no_node_inside(market: Market) -> None:
    entry = await market.run({**used(shade=107), "10": {"class_type": "Snoop", "inputs": {"image": ["7", 0]}}})
    assert entry["outputs"]["10"]["seen"] == ["10", "7", "8", "9"]
    assert market.leaks() == []


@pytest.mark.parametrize("target", ["7#hush-paint", "7#hush-grow"])
async def test_a_value_inside_cant_be_taken_by_who_guesses_its_name(market: Market, target: str) -> None:
    entry = await market.run({
        **used(shade=108),
        "10": {"class_type": "Burgle", "inputs": {"image": ["7", 0], "target": target}},
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["10", 0]}},
    })  # fmt: skip
    errors = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    assert [error["node_id"] for error in errors] == ["10"]
    assert "which is not in its graph" in errors[0]["exception_message"]


async def test_its_description_has_its_own_inputs_and_outputs_only(market: Market) -> None:
    described = orjson.loads(await market.look("GET", "/object_info/listing:ann%2Fportrait@1.0.0"))
    entry = described["listing:ann/portrait@1.0.0"]
    assert entry["input"]["optional"] == {"shade": ["INT", {"default": 40, "min": 0, "max": 200}]}
    assert (entry["output"], entry["output_name"], entry["output_node"]) == (["IMAGE"], ["picture"], True)
    assert market.leaks() == []
    everything = orjson.loads(await market.look("GET", "/object_info"))
    assert "hush" not in orjson.dumps(everything["listing:ann/portrait"]).decode().lower()


async def test_the_market_shows_no_inside_and_the_graph_is_its_creators(market: Market) -> None:
    found = orjson.loads(await market.look("GET", "/api/v1/marketplace/search?q=portrait"))
    item = orjson.loads(await market.look("GET", f"/api/v1/marketplace/item/{found['items'][0]['id']}"))
    version = item["versions"][0]["id"]
    assert orjson.loads(await market.look("GET", f"/api/v1/marketplace/versions/{version}/graph"))["error"]["code"] == "not_the_creator"
    assert market.leaks() == []
    mine = await market.peer.json("GET", f"/api/v1/marketplace/versions/{version}/graph", headers=market.headers("ann"))
    assert "hush-paint" in mine["graph"]


async def test_a_wrong_value_is_refused_before_anything_runs_without_naming_the_inside(market: Market) -> None:
    answer = orjson.loads(await market.look("POST", "/prompt", json={"prompt": used(shade=201)}))
    assert answer["node_errors"]["7"]["errors"][0]["type"] == "value_bigger_than_max"
    answer = orjson.loads(await market.look("POST", "/api/v1/validate", json={"graph": used(shade=-3)}))
    assert [(problem["node_id"], problem["input_name"]) for problem in answer["problems"]] == [("7", "shade")]
    assert market.leaks() == []


async def test_it_runs_as_a_function_over_http(market: Market) -> None:
    path = "/api/v1/run/ann/portrait"
    job = orjson.loads(await market.look("POST", path, json={"inputs": {"shade": 33}}))
    assert job["state"] == "queued"
    await market.peer.jobs.wait(job["id"], 20)
    results = orjson.loads(await market.look("GET", f"/api/v1/jobs/{job['id']}/results"))
    assert [file["name"].split("_")[0] for file in results["files"]] and results["state"] == "completed"
    headers = {**market.headers("carl"), "Prefer": "wait=20"}
    done = await market.peer.json("POST", path + "@1.0.0", 200, json={"inputs": {"shade": 34}}, headers=headers)
    assert done["state"] == "completed"
    wrong = orjson.loads(await market.look("POST", path, json={"inputs": {"hue": 1}}))
    assert "'hue'" in wrong["error"]["message"]
    unknown = orjson.loads(await market.look("POST", "/api/v1/run/ann/nothing", json={"inputs": {}}))
    assert unknown["error"]["code"] == "listing_not_found"
    assert market.leaks() == []


async def test_a_declared_preview_is_shown_on_the_outer_node(market: Market) -> None:
    await market.publish("ann", "watched", INSIDE, **{**INTERFACE, "previews": ["hush-paint"]})
    prompt_id, socket = await market.submit(used(shade=55, type_id="listing:ann/watched"))
    heard = await socket.ended(prompt_id)
    assert socket.frames, "the preview was declared"
    assert b'"node_id":"7"' in socket.frames[0][1] and b"hush" not in socket.frames[0][1].lower()
    assert {data["node"] for kind, data in heard if kind == "progress"} == {"7"}


async def test_cancelling_names_the_outer_node(market: Market) -> None:
    graph = {
        "hush-before": {"class_type": "Number", "inputs": {"value": 1}},
        "hush-wait": {"class_type": "Sleep", "inputs": {"seconds": 30.0, "steps": 3000, "value": ["hush-before", 0]}},
    }
    await market.publish("ann", "slow", graph, outputs=[{"name": "number", "node": "hush-wait"}])
    prompt_id, socket = await market.submit({
        "4": {"class_type": "listing:ann/slow", "inputs": {}},
        "5": {"class_type": "Show", "inputs": {"value": ["4", 0]}},
    })  # fmt: skip
    await socket.until(lambda kind, data: kind == "executing" and data["node"] == "4")
    await market.look("POST", "/interrupt", json={"prompt_id": prompt_id})
    heard = await asyncio.wait_for(socket.ended(prompt_id), 20)
    stopped = [data for kind, data in heard if kind == "execution_interrupted"]
    assert [(data["node_id"], data["node_type"]) for data in stopped] == [("4", "listing:ann/slow@1.0.0")]
    market.seen += [orjson.dumps(text) for text in socket.texts]
    assert market.leaks() == []


def market_nodes(entry: dict[str, Any]) -> set[str]:
    """The ids of all nodes that a history entry speaks of."""
    return {*entry["outputs"], *entry["meta"], *entry["prompt"][2]}


def brightness(data: bytes) -> int:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("L").tobytes()[0]


def written_in(data: bytes) -> dict[str, Any]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        return {str(name): value for name, value in picture.info.items()}


async def test_the_marks_are_found_where_there_is_no_veil() -> None:
    """The test's own ear: it hears what it is meant to hear."""
    market = Market.__new__(Market)
    market.told = []
    market.seen = [b"nothing", b"node Hush-paint failed", b'{"class_type": "SecretPaint"}']
    assert len(market.leaks()) == 2


async def test_the_cache_confirms_no_guess_about_the_inside(market: Market) -> None:
    """Last of all, since from here on the buyer's own graphs name the nodes that are inside."""
    await market.run(used(shade=106))
    guess = {
        "1": {"class_type": "SecretPaint", "inputs": {"words": "hush words", "shade": 106, "steps": 4}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    prompt_id, socket = await market.submit(guess)
    heard = await socket.ended(prompt_id)
    assert [data["nodes"] for kind, data in heard if kind == "execution_cached"] == [[]]
