"""Pictures from one node: the usual graph of loader, prompts, sampler and decoder, which the node goes on as."""

from __future__ import annotations

from typing import Annotated, Any

from marquetry.engine.declare import node
from marquetry.engine.expansion import GraphBuilder, GraphNode
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import ChoiceOf, File, Image, Optional, Range, Seed, Text, Tip
from marquetry.engine.sampling.names import SAMPLER_NAMES, SCHEDULE_NAMES
from marquetry.engine.usage import sampling, sized

ModelName = Annotated[str, File("checkpoints"), Tip("The checkpoint to use.")]
Prompt = Annotated[str, Text(multiline=True, dynamic_prompts=True), Tip("What the picture is to show.")]
Negative = Annotated[str, Text(multiline=True, dynamic_prompts=True), Tip("What it is not to show.")]
Side = Annotated[int, Range(16, 16384, step=8)]
SideOrOwn = Annotated[int, Range(0, 16384, step=8), Optional, Tip("0 keeps the picture's own; the other side alone keeps its proportions.")]
Steps = Annotated[int, Range(1, 10000)]
Guidance = Annotated[float, Range(0.0, 100.0, step=0.1, round=0.01)]
SamplerName = Annotated[str, ChoiceOf(lambda: SAMPLER_NAMES)]
ScheduleName = Annotated[str, ChoiceOf(lambda: SCHEDULE_NAMES)]
Strength = Annotated[
    float, Range(0.1, 1.0, step=0.01), Tip("How much of the picture is made anew: at 0.1 it hardly changes, at 1.0 only its size stays.")
]


@node(
    id="TextToImage",
    title="Text to Image",
    category="image/generate",
    aliases=("txt2img", "generate", "prompt"),
    usage=sampling(sized(), model="model_name"),
    extent=sized(),
)
def text_to_image(
    model_name: ModelName,
    prompt: Prompt,
    negative_prompt: Negative = "",
    width: Side = 512,
    height: Side = 512,
    steps: Steps = 20,
    cfg: Guidance = 7.0,
    seed: Annotated[int, Seed()] = 0,
    sampler_name: SamplerName = "euler",
    scheduler: ScheduleName = "normal",
) -> NodeOutput[Image]:
    """Makes a picture from a prompt, with a checkpoint that holds its text encoder and its autoencoder."""
    graph = GraphBuilder()
    checkpoint = graph.node("CheckpointLoaderSimple", "checkpoint", ckpt_name=model_name)
    latent = graph.node("EmptyLatentImage", "latent", width=width, height=height, batch_size=1)
    sampler = _sampler(graph, checkpoint, latent, prompt, negative_prompt)
    return _picture(
        graph, checkpoint, sampler, seed=seed, steps=steps, cfg=cfg, sampler_name=sampler_name, scheduler=scheduler, denoise=1.0
    )


@node(
    id="ImageToImage",
    title="Image to Image",
    category="image/generate",
    aliases=("img2img", "generate", "variation", "prompt"),
    usage=sampling(sized(like="image"), model="model_name"),
    extent=sized(like="image"),
)
def image_to_image(
    image: Image,
    model_name: ModelName,
    prompt: Prompt,
    negative_prompt: Negative = "",
    strength: Strength = 0.6,
    width: SideOrOwn = 0,
    height: SideOrOwn = 0,
    steps: Steps = 20,
    cfg: Guidance = 7.0,
    seed: Annotated[int, Seed()] = 0,
    sampler_name: SamplerName = "euler",
    scheduler: ScheduleName = "normal",
) -> NodeOutput[Image]:
    """Makes a picture anew after a prompt; how far it goes from the given one is its strength."""
    graph = GraphBuilder()
    checkpoint = graph.node("CheckpointLoaderSimple", "checkpoint", ckpt_name=model_name)
    pixels: Any = image
    if width or height:
        scaled = graph.node("ImageScale", "scaled", image=image, upscale_method="lanczos", width=width, height=height, crop="center")
        pixels = scaled.out(0)
    latent = graph.node("VAEEncode", "latent", pixels=pixels, vae=checkpoint.out(2))
    sampler = _sampler(graph, checkpoint, latent, prompt, negative_prompt)
    return _picture(
        graph, checkpoint, sampler, seed=seed, steps=steps, cfg=cfg, sampler_name=sampler_name, scheduler=scheduler, denoise=strength
    )


def _sampler(graph: GraphBuilder, checkpoint: GraphNode, latent: GraphNode, prompt: str, negative_prompt: str) -> GraphNode:
    positive = graph.node("CLIPTextEncode", "positive", text=prompt, clip=checkpoint.out(1))
    negative = graph.node("CLIPTextEncode", "negative", text=negative_prompt, clip=checkpoint.out(1))
    return graph.node(
        "KSampler", "sampler", model=checkpoint.out(0), positive=positive.out(0), negative=negative.out(0), latent_image=latent.out(0)
    )


def _picture(graph: GraphBuilder, checkpoint: GraphNode, sampler: GraphNode, **settings: Any) -> NodeOutput[Image]:
    for name, value in settings.items():
        sampler.set_input(name, value)
    decoded = graph.node("VAEDecode", "decoded", samples=sampler.out(0), vae=checkpoint.out(2))
    link: Any = decoded.out(0)
    return NodeOutput(value=link, expand=graph.finalize())
