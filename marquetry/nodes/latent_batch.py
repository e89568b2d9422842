"""Batches of latents: picking, repeating and joining them, and which noise each of them gets."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

from marquetry.engine.declare import node
from marquetry.engine.lazy import functional, torch
from marquetry.engine.pictures import MAX_RESOLUTION
from marquetry.engine.ports import Latent, Range
from marquetry.engine.resize import resize
from marquetry.engine.usage import joined, same, times
from marquetry.nodes.latent import PIXELS
from marquetry.nodes.mask import repeated

if TYPE_CHECKING:
    from torch import Tensor

Amount = Annotated[int, Range(1, 64)]


@node(
    id="LatentFromBatch",
    title="Latent From Batch",
    category="latent/batch",
    aliases=("pick", "select"),
    extent=times("samples", "length", whole=False),
)
def from_batch(samples: Latent, batch_index: Annotated[int, Range(-MAX_RESOLUTION, MAX_RESOLUTION)] = 0, length: Amount = 1) -> Latent:
    """Some latents of a batch, from `batch_index` on; a negative one counts from the end. Each keeps the noise that it would get in the batch."""
    tensor: Tensor = samples["samples"]
    count = len(tensor)
    start = max(0, min(count - 1, batch_index + count if batch_index < 0 else batch_index))
    chosen = slice(start, min(count, start + length))
    picked: dict[str, Any] = {"samples": tensor[chosen].clone(), "batch_index": noise_numbers(samples)[chosen]}
    if "noise_mask" in samples:
        masks = samples["noise_mask"]
        picked["noise_mask"] = masks.clone() if len(masks) == 1 else repeated(masks, count)[chosen].clone()
    return samples | picked


@node(
    id="RepeatLatentBatch", title="Repeat Latent Batch", category="latent/batch", aliases=("duplicate",), extent=times("samples", "amount")
)
def repeat(samples: Latent, amount: Amount = 1) -> Latent:
    """A batch `amount` times in a row; every repetition gets noise of its own."""
    tensor: Tensor = samples["samples"]
    result: dict[str, Any] = {"samples": repeated(tensor, len(tensor) * amount)}
    if "noise_mask" in samples and len(samples["noise_mask"]) > 1:
        result["noise_mask"] = repeated(repeated(samples["noise_mask"], len(tensor)), len(tensor) * amount)
    if "batch_index" in samples:
        numbers: list[int] = samples["batch_index"]
        apart = max(numbers) - min(numbers) + 1
        result["batch_index"] = [number + turn * apart for turn in range(amount) for number in numbers]
    return samples | result


@node(id="LatentBatch", title="Latent Batch", category="latent/batch", aliases=("join", "merge"), extent=joined("samples1", "samples2"))
def join(samples1: Latent, samples2: Latent) -> Latent:
    """Two batches as one; the second is resized to the first."""
    joined = torch.cat((samples1["samples"], sized(samples2["samples"], samples1["samples"])))
    return samples1 | {"samples": joined, "batch_index": noise_numbers(samples1) + noise_numbers(samples2)}


@node(id="LatentBatchSeedBehavior", title="LatentBatchSeedBehavior", category="latent/advanced", extent=same("samples"))
def seed_behavior(samples: Latent, seed_behavior: Literal["random", "fixed"] = "fixed") -> Latent:
    """Whether all latents of a batch get the noise of its first one ("fixed"), or each its own ("random")."""
    if seed_behavior == "random":
        return {name: value for name, value in samples.items() if name != "batch_index"}
    return samples | {"batch_index": [samples.get("batch_index", [0])[0]] * len(samples["samples"])}


@node(id="RebatchLatents", title="Rebatch Latents", category="latent/batch", input_is_list=True)
def rebatch(latents: list[Latent], batch_size: list[Annotated[int, Range(1, 4096)]] = [1]) -> list[Latent]:  # noqa: B006
    """A list of latents as batches of `batch_size`. Where the size of the pictures changes, a new batch begins."""
    batches: list[dict[str, Any]] = []
    numbered: list[tuple[dict[str, Any], list[int]]] = []
    first = 0
    for latent in latents:
        numbered.append((latent, latent.get("batch_index") or list(range(first, first + len(latent["samples"])))))
        first += len(latent["samples"])
    for _, group in groupby(numbered, lambda entry: entry[0]["samples"].shape[1:]):
        run = list(group)
        tensors = torch.cat([latent["samples"] for latent, _ in run])
        numbers = [number for _, own in run for number in own]
        masks = _masks([latent for latent, _ in run])
        for start in range(0, len(tensors), batch_size[0]):
            chosen = slice(start, start + batch_size[0])
            batch: dict[str, Any] = {"samples": tensors[chosen], "batch_index": numbers[chosen]}
            if masks is not None and not bool((masks[chosen] == 1.0).all()):
                batch["noise_mask"] = masks[chosen]
            batches.append(batch)
    return batches


def noise_numbers(latent: dict[str, Any]) -> list[int]:
    """Which noise of the seed's sequence each latent of a batch gets."""
    numbers: list[int] = latent.get("batch_index") or list(range(len(latent["samples"])))
    return numbers


def sized(tensor: Tensor, like: Tensor) -> Tensor:
    """`tensor` at the size of `like`, its proportions kept by trimming; the batch stays."""
    if tensor.shape[1:] == like.shape[1:]:
        return tensor
    return resize(tensor, like.shape[-1], like.shape[-2], "bilinear", "center")


def _masks(latents: list[dict[str, Any]]) -> Tensor | None:
    """The noise masks of latents of one size as one batch at the size of their pictures; where one has none, ones."""
    if not any("noise_mask" in latent for latent in latents):
        return None
    made: list[Tensor] = []
    for latent in latents:
        tensor = latent["samples"]
        size = (tensor.shape[-2] * PIXELS, tensor.shape[-1] * PIXELS)
        mask = latent["noise_mask"] if "noise_mask" in latent else torch.ones(1, 1, *size)
        if tuple(mask.shape[-2:]) != size:
            mask = functional.interpolate(mask.reshape(-1, 1, *mask.shape[-2:]), size=size, mode="bilinear")
        made.append(repeated(mask, len(tensor)))
    return torch.cat(made)
