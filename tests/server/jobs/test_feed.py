"""The feed: who hears what, in which order, and what a slow listener costs."""

from __future__ import annotations

import asyncio

from marquetry.engine.events import JobStarted, NodeFinished, NodeProgress, NodeStarted
from marquetry.server.jobs.feed import Feed
from marquetry.server.jobs.intake import PART, Intake
from marquetry.server.jobs.message import FeedMessage, Gap, JobQueued, PackMessage, QueueChanged


def begun(job_id: str) -> JobStarted:
    return JobStarted(job_id=job_id, time_ms=1)


def progress(value: float, node_id: str = "node", preview: bytes | None = None, job_id: str = "job") -> NodeProgress:
    return NodeProgress(job_id=job_id, time_ms=1, node_id=node_id, display_id=node_id, value=value, total=10, preview=preview)


def jobs_of(messages: list[FeedMessage]) -> list[str]:
    return [message.event.job_id for message in messages if isinstance(message.event, JobStarted)]


async def test_everybody_hears_of_their_own_jobs_only() -> None:
    feed = Feed()
    everything, tab, job, alice = (
        feed.subscribe(),
        feed.subscribe(client_id="tab"),
        feed.subscribe(job_id="b"),
        feed.subscribe(owner="alice"),
    )
    feed.publish(begun("a"), owner="alice", client_id="tab")
    feed.publish(begun("b"), owner="bob", client_id="other tab")
    feed.publish(begun("c"), owner="alice")
    assert jobs_of(everything.take()) == ["a", "b", "c"]
    assert jobs_of(tab.take()) == ["a"]
    assert jobs_of(job.take()) == ["b"]
    assert jobs_of(alice.take()) == ["a", "c"]


async def test_events_without_a_client_reach_no_client() -> None:
    feed = Feed()
    listening = feed.subscribe(client_id="")
    feed.publish(begun("a"), client_id="")
    assert listening.take() == []


async def test_filters_of_a_subscription_must_all_fit() -> None:
    feed = Feed()
    stranger = feed.subscribe(job_id="a", owner="bob")
    feed.publish(begun("a"), owner="alice")
    assert stranger.take() == []


async def test_everybody_hears_of_the_queue_and_reads_only_its_newest_length() -> None:
    feed = Feed()
    tab = feed.subscribe(client_id="tab")
    for remaining in range(5):
        feed.publish(QueueChanged(remaining=remaining))
    assert [message.event for message in tab.take()] == [QueueChanged(remaining=4)]


async def test_what_a_pack_says_to_one_client_reaches_that_client() -> None:
    feed = Feed()
    tab, other = feed.subscribe(client_id="tab"), feed.subscribe(client_id="other")
    feed.publish(PackMessage(name="hello", data=b"1", to="tab"))
    feed.publish(PackMessage(name="all", data=b"2"))
    assert [message.event.name for message in tab.take() if isinstance(message.event, PackMessage)] == ["hello", "all"]
    assert [message.event.name for message in other.take() if isinstance(message.event, PackMessage)] == ["all"]


async def test_of_progress_a_slow_listener_reads_the_newest_of_each_node_with_its_last_preview() -> None:
    feed = Feed()
    slow = feed.subscribe(job_id="job")
    feed.publish(progress(1, preview=b"picture"))
    feed.publish(progress(1, "other"))
    for value in range(2, 1000):
        feed.publish(progress(value))
    read = slow.take()
    assert [message.seq for message in read] == sorted(message.seq for message in read)
    values = [
        (message.event.node_id, message.event.value, message.event.preview) for message in read if isinstance(message.event, NodeProgress)
    ]
    assert values == [("other", 1, None), ("node", 999, b"picture")]


async def test_a_listener_who_never_reads_costs_bounded_memory_and_is_told_of_the_gap() -> None:
    feed = Feed(pending_messages=100)
    stuck = feed.subscribe()
    for place in range(10_000):
        feed.publish(NodeStarted(job_id="job", time_ms=1, node_id=str(place), display_id=""))
    read = stuck.take()
    assert len(read) <= 101
    assert isinstance(read[0].event, Gap)
    assert read[-1].seq == feed.seq
    assert read[0].seq == read[1].seq - 1


async def test_a_listener_who_comes_back_hears_what_it_missed() -> None:
    feed = Feed()
    first = feed.subscribe(client_id="tab")
    feed.publish(begun("a"), client_id="tab")
    (heard,) = first.take()
    first.close()
    feed.publish(begun("b"), client_id="tab")
    feed.publish(begun("x"), client_id="somebody else")
    feed.publish(begun("c"), client_id="tab")
    again = feed.subscribe(client_id="tab", since=heard.seq)
    assert jobs_of(again.take()) == ["b", "c"]


async def test_what_is_forgotten_is_a_gap() -> None:
    feed = Feed(memory_messages=3)
    start = feed.seq
    for place in range(5):
        feed.publish(begun(str(place)))
    read = feed.subscribe(since=start).take()
    assert isinstance(read[0].event, Gap)
    assert jobs_of(read) == ["2", "3", "4"]
    assert jobs_of(feed.subscribe(since=start + 2).take()) == ["2", "3", "4"]
    assert isinstance(feed.subscribe(since=feed.seq + 7).take()[0].event, Gap)


async def test_numbers_grow_across_restarts() -> None:
    before = Feed()
    before.publish(begun("a"))
    await asyncio.sleep(0.002)
    assert Feed().seq > before.seq


async def test_a_batch_waits_for_something_and_ends_when_closed() -> None:
    feed = Feed()
    subscription = feed.subscribe()
    waiting = asyncio.create_task(subscription.batch())
    await asyncio.sleep(0)
    feed.publish(begun("a"))
    assert jobs_of(await waiting) == ["a"]
    waiting = asyncio.create_task(subscription.batch())
    await asyncio.sleep(0)
    subscription.close()
    assert await waiting == []
    assert [message async for message in subscription] == []


def started(node_id: str) -> NodeStarted:
    return NodeStarted(job_id="job", time_ms=1, node_id=node_id, display_id=node_id)


def finished(node_id: str) -> NodeFinished:
    return NodeFinished(job_id="job", time_ms=1, node_id=node_id, display_id=node_id)


async def test_who_reads_slowly_still_hears_how_each_node_of_a_large_job_ended() -> None:
    feed = Feed(pending_messages=1000)
    tab = feed.subscribe(client_id="tab")
    for number in range(700):
        feed.publish_all([started(str(number)), finished(str(number))], client_id="tab")
    feed.publish(started("700"), client_id="tab")
    heard = [message.event for message in tab.take()]
    assert not any(isinstance(event, Gap) for event in heard)
    assert [event.node_id for event in heard if isinstance(event, NodeFinished)] == [str(number) for number in range(700)]
    assert heard[-1] == started("700")


async def test_what_a_listener_does_not_care_for_does_not_wake_it() -> None:
    feed = Feed()
    tab = feed.subscribe(client_id="tab", without=frozenset({JobQueued}))
    feed.publish(JobQueued(job_id="a", time_ms=1), client_id="tab")
    assert await tab.batch(0.001) == [] and not tab.closed
    feed.publish(begun("a"), client_id="tab")
    assert jobs_of(await tab.batch(1.0)) == ["a"]


async def test_what_workers_tell_is_taken_in_parts_and_in_order() -> None:
    heard: list[tuple[str, int]] = []
    intake = Intake(asyncio.get_running_loop(), lambda job_id, events: heard.append((job_id, len(events))))
    intake.add([started("0"), finished("0"), begun("another")])
    assert heard == [("job", 2), ("another", 1)]
    heard.clear()
    intake.add([started(str(number)) for number in range(2 * PART)])
    intake.add([begun("another")])
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [("job", PART)]
    intake.flush()
    assert heard == [("job", PART), ("job", PART), ("another", 1)]
    await asyncio.sleep(0)
    assert len(heard) == 3
