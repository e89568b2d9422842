"""The built-in model's card: what it is, what it learnt from, how well it does, and what it cannot do."""

import json
from collections.abc import Mapping

from marquetry.nodes.world.scene import COLOURS, SETTINGS, SUBJECTS, all_contents

CPU_MINUTES = 93  # of the whole training, both cores together
CARD = """# The built-in model: Marquetry mini

A text-to-image latent-diffusion model of the `sd1` family at a small size, for 64x64 pictures of simple scenes. It is
trained by this project from nothing, on pictures that this project draws (`marquetry/nodes/world/`); no other picture, text or
weight went into it. It ships as `marquetry/models/builtin/marquetry-mini.safetensors` ({megabytes:.1f} MB, half precision, Apache-2.0).

![{sheet_count} of the pictures that were marked, evenly spread, none chosen](pictures/builtin-contact-sheet.png)

## How well it does

{question_count} captions that say everything, each about a combination of subject, colour, setting and time of day that training never
saw (a tenth of all {content_count} combinations is kept back); half of them are also phrased in ways that training never used. A
checker that looks at the picture alone (`checker.py`, the best fitting render explains it) says what it shows.
Pictures by {sampling}.

{marks}

Made again by `python -m marquetry.nodes.world.measure`. Guessing would get 12.5 % of the subjects and colours, 16.7 % of the settings
and half of the times of day.

## What it knows

- Subjects: {subjects}.
- Colours: {colours}.
- Settings: {settings}.
- Day and night; day where a caption does not say.

Captions may be sentences or lists of tags, in English, with some synonyms (kitten, automobile, spaceship, seaside, under the moon);
`captions.py` lists them all. Words that training never used have embeddings of zero: they say nothing.

## What it is

| part | network | sizes |
|---|---|---|
| text encoder | `CLIPTextModel`, quick-GELU, OpenAI's BPE vocabulary (49,408 tokens, 77 positions) | width {text_width}, {text_layers} layers, {text_heads} head of 64 |
| noise predictor | `UNet2DConditionModel` as in SD1: 8 heads, GroupNorm 32, 1x1 convolutions around attention | channels {unet_channels}, residual blocks a level: {unet_layers}, attention on every level |
| autoencoder | `AutoencoderKL`, 8 times smaller, 4 latent channels, scale 0.18215 | channels {autoencoder_channels}, residual blocks a level: {autoencoder_layers} |

Noise prediction over 1,000 steps, `scaled_linear` betas from 0.00085 to 0.012, as in SD1. The file is in the original
latent-diffusion layout; its metadata names the sizes and the training.

## How it was trained

`make model` (`python -m marquetry.nodes.world.builtin`) retrains it from nothing in about 47 minutes on two cores ({cpu_minutes} minutes of processor time in one go): {lessons:,} rendered
scenes; the autoencoder for {autoencoder_steps:,} steps of {autoencoder_batch} (pictures survive it at {autoencoder_db} dB), then text encoder and noise predictor together for
{diffusion_steps:,} steps of {diffusion_batch} on cached latents, with min-SNR weights, a tenth of the captions emptied for guidance, and averaged weights. The seed
is {seed}; on one machine the same seed and thread count give the same file. {note}

## Limits

- It knows the scenes above and nothing else; other words are ignored, and two subjects in one caption are not understood.
- 64x64 is the size it was trained for. Larger sizes run, and repeat or blur what it knows.
- Image to image: the less noise there is, the less the model knows it from detail, so with guidance another prompt shifts colours even at
  a strength of 0.05. Without guidance (1.0) it keeps them.
- Pictures are softer than the renders that it learnt from, and small details suffer first: a fish is often a plump shape without its eye,
  dark subjects on dark grounds lose their outline, a cat may have a tail on either side. One latent stands for 8x8 pixels. The checker asks
  what is shown, not how well it is drawn, so full marks do not mean perfect pictures.
"""


def model_card(marks: str, sampling: str, facts: Mapping[str, str], training: Mapping[str, int], size_bytes: int) -> str:
    """The card as Markdown, from the marks and from what the file says of itself."""
    sizes = json.loads(facts["marquetry.networks"])
    return CARD.format(
        megabytes=size_bytes / 1e6,
        sheet_count=60,
        question_count=200,
        content_count=sum(1 for _ in all_contents()),
        marks=marks,
        sampling=sampling,
        subjects=", ".join(SUBJECTS),
        colours=", ".join(COLOURS),
        settings=", ".join(SETTINGS),
        text_width=sizes["text_width"],
        text_layers=sizes["text_layers"],
        text_heads=facts["marquetry.text_heads"],
        unet_channels=" and ".join(map(str, sizes["unet_channels"])),
        unet_layers=sizes["unet_layers"],
        autoencoder_channels=", ".join(map(str, sizes["autoencoder_channels"])),
        autoencoder_layers=sizes["autoencoder_layers"],
        cpu_minutes=CPU_MINUTES,
        note=facts.get("marquetry.note", ""),
        autoencoder_db=facts["marquetry.autoencoder_db"],
        **training,
    )
