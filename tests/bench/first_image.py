"""Time to the first picture of the built-in model, over HTTP.

    python tests/bench/first_image.py [--steps 20] [--rounds 5]

Cold: from the start of a server's process until the PNG is saved. Warm: another seed. Cached: the same seed again. Beside it a bare loop
in this process: the same network called as often, on prompt and negative prompt at once, then the decoder. Limits: a warm picture takes
the worker at most 1.5 times the bare loop's time on a core; a cached one comes in at most a tenth of a warm one's time. Guard: the same
seed gives the same pixels in two servers, another seed others, and the cached run makes nothing. Exits with 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from PIL import Image

from tests.bench._served import Served, core_time

MODEL = "marquetry-mini.safetensors"
TEXT, SIDE = "a red house in a field", 64
BARE_LIMIT, CACHED_LIMIT = 1.5, 0.1


@dataclass(frozen=True)
class Picture:
    """What one prompt gave: seconds until its end, by the wall and of the worker on a core; the PNG's pixels; how many nodes were cached."""

    wall_s: float
    core_s: float
    pixels: bytes
    cached_nodes: int


def prompt(seed: int, steps: int) -> dict[str, Any]:
    """The usual graph."""
    nodes = {
        "model": ("CheckpointLoaderSimple", {"ckpt_name": MODEL}),
        "text": ("CLIPTextEncode", {"text": TEXT, "clip": ["model", 1]}),
        "negative": ("CLIPTextEncode", {"text": "", "clip": ["model", 1]}),
        "empty": ("EmptyLatentImage", {"width": SIDE, "height": SIDE, "batch_size": 1}),
        "sampler": (
            "KSampler",
            {
                "model": ["model", 0],
                "seed": seed,
                "steps": steps,
                "cfg": 4.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            }
            | {"positive": ["text", 0], "negative": ["negative", 0], "latent_image": ["empty", 0]},
        ),
        "decoder": ("VAEDecode", {"samples": ["sampler", 0], "vae": ["model", 2]}),
        "saved": ("SaveImage", {"images": ["decoder", 0], "filename_prefix": "bench"}),
    }
    return {id: {"class_type": kind, "inputs": inputs} for id, (kind, inputs) in nodes.items()}


def picture(served: Served, seed: int, steps: int) -> Picture:
    """Submit, and wait until it is saved."""
    workers = served.worker_ids
    before_s = sum(core_time(id).running_s for id in workers)
    begun_s = time.perf_counter()
    id = served.json("POST", "/api/prompt", {"prompt": prompt(seed, steps)})["prompt_id"]
    while not (entry := served.json("GET", f"/api/history/{id}").get(id)):
        time.sleep(0.002)
    wall_s = time.perf_counter() - begun_s
    core_s = sum(core_time(id).running_s for id in workers) - before_s
    if entry["status"]["status_str"] != "success":
        raise RuntimeError(str(entry["status"]))
    image = entry["outputs"]["saved"]["images"][0]
    data = (served.data / "output" / image["subfolder"] / image["filename"]).read_bytes()
    cached = [name for kind, told in entry["status"]["messages"] if kind == "execution_cached" for name in told["nodes"]]
    return Picture(wall_s, core_s, Image.open(io.BytesIO(data)).tobytes(), len(cached))


def bare_s(folder: Path, steps: int, rounds: int) -> float:
    """Seconds on a core of the networks' passes alone, best of several."""
    import torch

    from marquetry.engine.folders import Folders
    from marquetry.engine.models.builtin import add_builtin_models
    from marquetry.engine.models.library import ModelLibrary

    torch.set_num_threads(1)
    folders = Folders(folder)
    add_builtin_models(folders)
    model, clip, vae = ModelLibrary(folders, device="cpu").load_checkpoint(MODEL)
    assert clip is not None and vae is not None
    side = SIDE // vae.downscale_ratio
    with torch.inference_mode(), model.resident.use() as network, vae.resident.use() as autoencoder:
        text = torch.cat([clip.encode(TEXT).embedding, clip.encode("").embedding])
        best = float("inf")
        for _ in range(rounds):
            latent = torch.randn(1, vae.latent_channels, side, side)
            begun_s = time.process_time()
            for step in range(steps, 0, -1):
                network(latent.repeat(2, 1, 1, 1), torch.tensor([step * 40.0] * 2), encoder_hidden_states=text, return_dict=False)
            autoencoder.decode(latent)
            best = min(best, time.process_time() - begun_s)
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    colds: list[tuple[float, Picture]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            with Served(Path(folder) / name, "--cpu") as served:
                made = picture(served, 1, given.steps)
                colds.append((time.perf_counter() - served.begun_s, made))
                served.until_warm()
                warm = [picture(served, 2 + index, given.steps) for index in range(given.rounds)]
                cached = [picture(served, 2 + given.rounds - 1, given.steps) for _ in range(given.rounds)]
        alone_s = bare_s(Path(folder) / "bare", given.steps, given.rounds)
    for seconds, cold in colds:
        print(f"cold: {seconds:.2f} s from the start of the server, {cold.core_s:.2f} s of the worker on a core")
    warm_s, warm_core_s = statistics.median(one.wall_s for one in warm), min(one.core_s for one in warm)
    cached_s = statistics.median(one.wall_s for one in cached)
    print(
        f"warm: {warm_s:.3f} s, {warm_core_s:.3f} s on a core; bare loop {alone_s:.3f} s: ratio {warm_core_s / alone_s:.2f} (limit {BARE_LIMIT})"
    )
    print(f"cached: {cached_s * 1000:.1f} ms, {cached_s / warm_s:.4f} of a warm one (limit {CACHED_LIMIT})")
    guards = {
        "two servers agree": colds[0][1].pixels == colds[1][1].pixels,
        "other seeds, other pictures": len({one.pixels for one in warm}) == given.rounds,
        "the cached one is the same": all(one.pixels == warm[-1].pixels for one in cached),
        "nothing of it was made": all(one.cached_nodes == len(prompt(0, 1)) for one in cached),
    }
    print("guard: " + ", ".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in guards.items()))
    guard = all(guards.values())
    failed = not guard or warm_core_s > BARE_LIMIT * alone_s or cached_s > CACHED_LIMIT * warm_s
    print("a limit or the guard failed" if failed else "all limits hold")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
