"""The cache's second tier."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from marquetry.engine.cache import Result, ResultCache
from marquetry.engine.disk_store import DiskStore


def key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_a_result_of_tensors_and_plain_values_survives_the_process_bit_for_bit(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 2**30)
    samples = torch.randn(2, 4, 8, 8)
    outputs = ([{"samples": samples, "batch_index": [0, 1]}], [[samples.half(), {"pooled_output": None}]], [1.5, "text", (1, 2)])
    store.offer(key("a"), Result(outputs, None, 3.0))
    store.flush()
    found = DiskStore(tmp_path, 2**30).load(key("a"))
    assert found is not None and found.cost_s == 3.0
    assert torch.equal(found.outputs[0][0]["samples"], samples)
    assert torch.equal(found.outputs[1][0][0], samples.half()) and found.outputs[2] == [1.5, "text", (1, 2)]


def test_quick_results_shown_results_and_models_are_not_stored(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 2**30)
    store.offer(key("quick"), Result(([1],), None, 0.01))
    store.offer(key("shown"), Result(([1],), {"images": []}, 9.0))
    store.offer(key("model"), Result(([object()],), None, 9.0))
    store.flush()
    assert len(store) == 0


def test_the_longest_unused_go_when_the_budget_is_full(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 300_000)
    for name in "abc":
        store.offer(key(name), Result(([torch.zeros(25_000)],), None, 1.0))
        store.flush()
    assert store.held_bytes <= 300_000
    assert key("a") not in store and key("c") in store


def test_what_nobody_used_for_too_long_goes_at_the_next_start(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 2**30)
    store.offer(key("old"), Result(([1],), None, 1.0))
    store.offer(key("new"), Result(([2],), None, 1.0))
    store.flush()
    old = tmp_path / key("old").hex()[:2] / f"{key('old').hex()}.safetensors"
    os.utime(old, (1, 1))
    again = DiskStore(tmp_path, 2**30, max_age_s=3600)
    assert key("old") not in again and key("new") in again and not old.exists()


def test_what_does_not_last_is_there_for_the_same_run_of_the_server_and_gone_in_the_next(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 2**30, epoch="first")
    passing = Result(([1],), None, 1.0)
    passing.lasting = False
    store.offer(key("pack"), passing)
    store.offer(key("ours"), Result(([2],), None, 1.0))
    store.flush()
    same = DiskStore(tmp_path, 2**30, epoch="first")
    assert same.load(key("pack")) is not None and same.load(key("ours")) is not None
    after = DiskStore(tmp_path, 2**30, epoch="second")
    assert key("pack") not in after and key("ours") in after
    assert len(list(tmp_path.glob("??/*"))) == 1


def test_a_damaged_file_counts_as_absent(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 2**30)
    store.offer(key("a"), Result(([torch.zeros(100)],), None, 1.0))
    store.flush()
    next(tmp_path.glob("??/*.safetensors")).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken")
    assert store.load(key("a")) is None
    assert key("a") not in store


def test_the_cache_finds_in_the_store_what_memory_has_lost(tmp_path: Path) -> None:
    cache = ResultCache(2**20, DiskStore(tmp_path, 2**30))

    class Nobody:
        def woken(self, index: int, result: Any) -> None: ...

    assert cache.claim(key("a"), Nobody(), 0) is None
    cache.complete(key("a"), Result(([torch.ones(10)],), None, 1.0))
    cache.store.flush()  # type: ignore[union-attr]
    cache.clear()
    found = cache.claim(key("a"), Nobody(), 0)
    assert isinstance(found, Result) and torch.equal(found.outputs[0][0], torch.ones(10))
