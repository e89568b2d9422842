"""CPU that a quote of a graph takes: reading what it will consume, then pricing it.

    python tests/bench/quote.py [--nodes 100] [--rounds 200]

The graph is one that people send: loaders, LoRAs, prompts, samplers, decoders, savers. The guard: each sampler is one line of the quote, and
the total is what their prices add up to.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import marquetry.nodes
from marquetry.engine.folders import Folders
from marquetry.engine.foresight import Limits
from marquetry.engine.graph import Graph
from marquetry.engine.registry import Registry
from marquetry.marketplace.pricing.book import shipped_books
from marquetry.marketplace.pricing.price import Conditions, PriceList
from marquetry.marketplace.pricing.quote import quote
from marquetry.marketplace.pricing.royalties import NoRoyalties
from marquetry.marketplace.schema import MICROCREDITS
from marquetry.server.market.consumers import Foreseer

GROUP = 9  # nodes of one picture


def graph(nodes: int) -> tuple[dict[str, Any], list[str], int]:
    """Pictures side by side, about `nodes` nodes in all; with their output nodes, and how many there are."""
    api: dict[str, Any] = {}
    outputs: list[str] = []
    count = max(1, nodes // GROUP)
    for n in range(count):
        api |= {
            f"{n}model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "world.safetensors"}},
            f"{n}lora": {
                "class_type": "LoraLoader",
                "inputs": {"model": [f"{n}model", 0], "clip": [f"{n}model", 1], "lora_name": "ink.safetensors", "strength_model": 1.0,
                           "strength_clip": 1.0},
            },
            f"{n}positive": {"class_type": "CLIPTextEncode", "inputs": {"text": f"a boat, {n}", "clip": [f"{n}lora", 1]}},
            f"{n}negative": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": [f"{n}lora", 1]}},
            f"{n}latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
            f"{n}sampler": {
                "class_type": "KSampler",
                "inputs": {"model": [f"{n}lora", 0], "positive": [f"{n}positive", 0], "negative": [f"{n}negative", 0],
                           "latent_image": [f"{n}latent", 0], "seed": n, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal",
                           "denoise": 1.0},
            },
            f"{n}decoded": {"class_type": "VAEDecode", "inputs": {"samples": [f"{n}sampler", 0], "vae": [f"{n}model", 2]}},
            f"{n}scaled": {"class_type": "ImageScaleBy", "inputs": {"image": [f"{n}decoded", 0], "upscale_method": "lanczos", "scale_by": 2.0}},
            f"{n}saved": {"class_type": "SaveImage", "inputs": {"images": [f"{n}scaled", 0], "filename_prefix": "x"}},
        }  # fmt: skip
        outputs.append(f"{n}saved")
    return api, outputs, count


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, default=100)
    options.add_argument("--rounds", type=int, default=200)
    given = options.parse_args()
    types = Registry()
    types.scan(marquetry.nodes)
    api, outputs, count = graph(given.nodes)
    with tempfile.TemporaryDirectory() as folder:
        folders = Folders(Path(folder))
        for kind, name in (("checkpoints", "world.safetensors"), ("loras", "ink.safetensors")):
            place = Path(folder) / "models" / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(b"")
        foreseer = Foreseer(types, folders, Limits(), 20_000)
        prices = PriceList(shipped_books())
        conditions = Conditions("house:payg", "house", 1_800_000_000_000, MICROCREDITS)
        taken: list[float] = []
        parts: list[float] = []
        for number in range(given.rounds):
            read = Graph.from_api(api)
            begun = time.process_time()
            foreseen = foreseer.read(read, outputs, "bob")
            middle = time.process_time()
            found = quote(foreseen.consumers, prices, conditions, NoRoyalties(), "bob", remembered=frozenset())
            ended = time.process_time()
            taken.append((ended - begun) * 1000)
            parts.append((ended - middle) * 1000)
            if not number:
                lines = [node for node in found.nodes if node.consumer.type_id == "KSampler"]
                assert len(lines) == count and found.maximum_microcredits == count * 50 * MICROCREDITS, "the quote is wrong"
    print(
        f"quote of {len(api)} nodes, median of {given.rounds}: {statistics.median(taken):.2f} ms of CPU, of that pricing {statistics.median(parts):.2f} ms"
    )


if __name__ == "__main__":
    main()
