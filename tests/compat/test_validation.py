"""What is refused, with which words, and what is run all the same."""

from __future__ import annotations

from typing import Any

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client, Refused

IMAGE_OR_FLOAT = ["CompatProduct", "CompatProductOfTypes", "CompatProductByDecorator"]


def refusal(client: Client, prompt: Any, **more: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as caught:
        client.queue(prompt, **more)
    assert caught.value.status == 400
    body: dict[str, Any] = caught.value.body
    assert set(body) == {"error", "node_errors"}
    assert set(body["error"]) == {"type", "message", "details", "extra_info"}
    return body


def errors_of(body: dict[str, Any], id: str) -> list[tuple[str, str | None]]:
    return [(error["type"], error["extra_info"].get("input_name")) for error in body["node_errors"][id]["errors"]]


@pytest.mark.parametrize(("value", "fine"), [(5, False), ("five", False), (5.0, True)])
def test_a_check_of_its_own_sees_constants_as_they_are_sent(client: Client, graph: GraphBuilder, value: Any, fine: bool) -> None:
    product = graph.node("CompatProduct", first=value, second=0.1)
    saved = graph.node("SaveImage", images=product.out(0))
    if fine:
        assert client.run(graph).pictures(saved) == [(127, 127)]
        return
    body = refusal(client, client.prompt(graph))
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    assert body["node_errors"][product.id]["class_type"] == "CompatProduct"
    assert body["node_errors"][product.id]["dependent_outputs"] == [saved.id]
    assert errors_of(body, product.id) == [("custom_validation_failed", "first"), ("custom_validation_failed", "second")]
    assert body["node_errors"][product.id]["errors"][0]["extra_info"]["received_value"] == value
    assert saved.id not in body["node_errors"]


@pytest.mark.parametrize(("source", "fine"), [("CompatWhole", False), ("CompatReal", True)])
@pytest.mark.parametrize("kind", IMAGE_OR_FLOAT)
def test_types_of_links_are_checked_by_the_engine_or_by_the_node(
    client: Client, graph: GraphBuilder, kind: str, source: str, fine: bool
) -> None:
    given = graph.node(source, value=1)
    product = graph.node(kind, first=given.out(0), second=0.5)
    graph.node("SaveImage", images=product.out(0))
    if fine:
        client.queue(client.prompt(graph))
        return
    body = refusal(client, client.prompt(graph))
    (error, *_) = body["node_errors"][product.id]["errors"]
    if kind == "CompatProduct":
        assert error["type"] == "return_type_mismatch"
        info = error["extra_info"]
        assert (info["received_type"], info["linked_node"], info["input_config"][0]) == ("INT", [given.id, 0], "IMAGE,FLOAT")
    else:
        assert (error["type"], "first comes as INT" in error["details"]) == ("custom_validation_failed", True)


def test_a_mask_is_no_picture(client: Client, graph: GraphBuilder) -> None:
    product = graph.node("CompatProduct", first=graph.node("CompatFlatMask", level=0.5).out(0), second=1.0)
    graph.node("SaveImage", images=product.out(0))
    assert errors_of(refusal(client, client.prompt(graph)), product.id) == [("return_type_mismatch", "first")]


def test_constants_are_brought_into_their_type_before_the_check(client: Client, graph: GraphBuilder) -> None:
    saved = graph.node("SaveImage", images=graph.node("CompatProductOfNumbers", first=1, second="0.5").out(0))
    assert client.run(graph).pictures(saved) == [(127, 127)]


@pytest.mark.parametrize(("value", "fine"), [(0.5, True), (5.0, True), (13.0, False)])
def test_limits_are_left_to_a_check_that_takes_everything(client: Client, graph: GraphBuilder, value: float, fine: bool) -> None:
    product = graph.node("CompatProductWithin", first=0.0, second=value)
    saved = graph.node("SaveImage", images=product.out(0))
    if fine:
        assert client.run(graph).pictures(saved) == [(0, 0)]
    else:
        body = refusal(client, client.prompt(graph))
        assert "thirteen brings bad luck" in body["node_errors"][product.id]["errors"][0]["details"]


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({"first": -0.1, "second": 1, "mode": "plain"}, [("value_smaller_than_min", "first")]),
        ({"first": 1.5, "second": 4, "mode": "plain"}, [("value_bigger_than_max", "first"), ("value_bigger_than_max", "second")]),
        ({"first": "much", "second": 1, "mode": "plain"}, [("invalid_input_type", "first")]),
        ({"first": 0.5, "second": 1, "mode": "grand"}, [("value_not_in_list", "mode")]),
        ({"second": 1, "mode": "plain"}, [("required_input_missing", "first")]),
        ({"first": 0.5, "second": ["nobody", 0], "mode": "plain"}, [("bad_linked_input", "second")]),
    ],
)
def test_each_input_is_refused_with_its_own_word(
    client: Client, graph: GraphBuilder, inputs: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    limited = graph.node("CompatLimited", **inputs)
    graph.node("SaveImage", images=limited.out(0))
    assert errors_of(refusal(client, client.prompt(graph)), limited.id) == found


def test_an_exception_in_a_check_is_a_finding(client: Client, graph: GraphBuilder) -> None:
    broken = graph.node("CompatBrokenCheck", first=1.0, second=1.0)
    graph.node("SaveImage", images=broken.out(0))
    (error,) = refusal(client, client.prompt(graph))["node_errors"][broken.id]["errors"]
    assert (error["type"], error["extra_info"]["exception_type"]) == ("exception_during_validation", "LookupError")


def test_a_check_may_be_awaited(client: Client, graph: GraphBuilder) -> None:
    limit = graph.node("CompatAwaitedLimit", first=0.5, second=0.6)
    graph.node("SaveImage", images=limit.out(0))
    assert client.run(graph).did_run(limit)
    limit.set_input("second", 0.4)
    body = refusal(client, client.prompt(graph))
    assert "0.5 is more than 0.4" in body["node_errors"][limit.id]["errors"][0]["details"]


def test_a_cycle_is_refused_and_named(client: Client, graph: GraphBuilder) -> None:
    one = graph.node("CompatMean", picture1=graph.node("CompatFlat", level=0.5).out(0))
    two = graph.node("CompatMean", picture1=one.out(0))
    one.set_input("picture2", two.out(0))
    graph.node("SaveImage", images=two.out(0))
    assert {one.id, two.id} <= set(refusal(client, client.prompt(graph))["node_errors"])


def test_good_outputs_run_beside_bad_ones_and_a_link_to_nobody_leaves_no_trace(client: Client, graph: GraphBuilder, salt: str) -> None:
    black, white = (graph.node("CompatFlat", level=level, salt=salt) for level in (0.0, 0.5))
    gone = graph.node("CompatFlat", "gone", level=0.7, salt=salt)
    bad = graph.node("CompatMean", picture1=black.out(0), picture2=gone.out(0))
    good = graph.node("CompatMean", picture1=black.out(0), picture2=white.out(0))
    bad_saved, good_saved = (graph.node("SaveImage", images=node.out(0)) for node in (bad, good))
    graph.remove_node("gone")
    answer = client.queue(client.prompt(graph))
    assert set(answer) == {"prompt_id", "number", "node_errors"}
    assert set(answer["node_errors"]) == {bad.id}
    assert answer["node_errors"][bad.id]["dependent_outputs"] == [bad_saved.id]
    outcome = client.follow(answer["prompt_id"])
    assert (outcome.pictures(good_saved), outcome.pictures(bad_saved)) == ([(63, 63)], [])
    graph.node("CompatFlat", "gone", level=0.7, salt=salt)
    again = client.run(graph)
    assert (again.pictures(good_saved), again.pictures(bad_saved)) == ([(63, 63)], [(89, 89)])
    assert again.ran == [gone.id, bad.id, bad_saved.id]


def test_a_prompt_without_outputs_or_of_unknown_nodes_is_refused_as_a_whole(client: Client) -> None:
    flat = {"class_type": "CompatFlat", "inputs": {"level": 0.5}}
    kinds = {
        "prompt_no_outputs": {"1": flat},
        "invalid_prompt": {"1": flat, "7": {"class_type": "CompatNobody", "inputs": {}}},
    }
    for kind, prompt in kinds.items():
        body = refusal(client, prompt)
        assert (body["error"]["type"], body["node_errors"]) == (kind, {})
        assert kind != "invalid_prompt" or "#7" in body["error"]["details"]
    assert refusal(client, {"1": {"inputs": {}}})["error"]["type"] == "invalid_prompt"


def test_a_body_without_a_prompt_is_refused(client: Client) -> None:
    for body, kind in (({"client_id": "x"}, "no_prompt"), (b"{", "invalid_json")):
        with pytest.raises(Refused) as caught:
            client.request("/prompt", body)
        assert (caught.value.status, caught.value.body["error"]["type"]) == (400, kind)
