"""A small caption model: a picture, as patches, through an encoder and a decoder of transformers to words of its own lexicon."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.dataset import Dataset
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.readers import as_seen
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage
from marquetry.engine.training.weight_file import write_weights

FACTS_KEY = "marquetry.captioner"
PAD, START, END = 0, 1, 2
SPECIAL = 3
WORD = re.compile(r"[\w'-]+|[^\w\s]")
CLOSING = frozenset(",.;:!?")


@dataclass(frozen=True, slots=True)
class CaptionerFacts:
    """Sizes, and the lexicon in its order; heads are 32 wide."""

    words: tuple[str, ...]
    side: int = 64
    patch: int = 8
    width: int = 96
    layers: int = 2
    length: int = 40


class Captioner(nn.Module):
    """Pictures `[B, 3, side, side]` in 0..1 and words so far `[B, T]` to logits of the next `[B, T, words]`."""

    def __init__(self, facts: CaptionerFacts) -> None:
        super().__init__()
        self.facts = facts
        heads, count = max(1, facts.width // 32), len(facts.words) + SPECIAL
        self.patches = nn.Conv2d(3, facts.width, facts.patch, stride=facts.patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, (facts.side // facts.patch) ** 2, facts.width))
        layer: dict[str, Any] = {
            "dim_feedforward": facts.width * 4,
            "dropout": 0.0,
            "activation": "gelu",
            "batch_first": True,
            "norm_first": True,
        }
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(facts.width, heads, **layer), facts.layers, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(facts.width, heads, **layer), facts.layers)
        self.table = nn.Embedding(count, facts.width)
        self.turns = nn.Parameter(0.02 * torch.randn(1, facts.length, facts.width))
        self.norm = nn.LayerNorm(facts.width)
        self.out = nn.Linear(facts.width, count)

    def see(self, pictures: Tensor) -> Tensor:
        """The picture as memory `[B, P, width]`."""
        memory: Tensor = self.encoder(self.patches(pictures * 2.0 - 1.0).flatten(2).transpose(1, 2) + self.places)
        return memory

    def say(self, memory: Tensor, words: Tensor) -> Tensor:
        """Logits after each word."""
        length = words.shape[1]
        ahead = torch.ones(length, length, dtype=torch.bool, device=words.device).triu(1)
        hidden = self.decoder(self.table(words) + self.turns[:, :length], memory, tgt_mask=ahead)
        logits: Tensor = self.out(self.norm(hidden))
        return logits

    def forward(self, pictures: Tensor, words: Tensor) -> Tensor:
        """See the class."""
        return self.say(self.see(pictures), words)


class CaptionerStage(Stage):
    """Learns to go on with each caption, word by word."""

    def __init__(
        self, dataset: Dataset, recipe: StageRecipe, seed: int, compute: Compute | None = None, facts: CaptionerFacts | None = None
    ) -> None:
        facts = facts or CaptionerFacts(lexicon(dataset))
        if not facts.words:
            raise TrainingFailed("no picture has a caption; put a .txt of the same name beside each")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.captioner = Captioner(facts)
        super().__init__(self.captioner, recipe, seed, compute)
        self.dataset = dataset
        self.pictures = as_seen([example.picture for example in dataset.examples], facts.side)
        self.numbers = {word: number for number, word in enumerate(facts.words, start=SPECIAL)}

    def loss(self, draws: Draws) -> Tensor:
        """Cross-entropy of each next word."""
        chosen = torch.randint(len(self.pictures), (self.recipe.batch,), generator=draws.tensors)
        texts = [self.dataset.examples[index].caption(draws.words) for index in chosen.tolist()]
        words = self.numbered(texts).to(self.compute.device)
        with self.compute.autocast():
            logits = self.captioner(self.pictures[chosen].float().to(self.compute.device) / 255.0, words[:, :-1])
        return functional.cross_entropy(logits.float().transpose(1, 2), words[:, 1:], ignore_index=PAD)

    def numbered(self, texts: Sequence[str]) -> Tensor:
        """Captions as numbers `[B, T]`, from start to end, padded; words that the lexicon lacks are left out."""
        room = self.captioner.facts.length - 1
        rows = [[START, *[self.numbers[word] for word in split(text) if word in self.numbers][:room], END] for text in texts]
        longest = max(map(len, rows))
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])

    def trained(self) -> Captioner:
        """The averaged network, ready for use."""
        made = Captioner(self.captioner.facts)
        with self.average.applied(self.networks):
            made.load_state_dict({name: weight.detach().cpu() for name, weight in self.captioner.state_dict().items()})
        return made.eval().requires_grad_(False)


@torch.no_grad()
def describe(captioner: Captioner, pictures: Sequence[Tensor]) -> list[str]:
    """A caption of each picture (bytes `[H, W, 3]`): at each turn the likeliest word."""
    memory = captioner.see(as_seen(pictures, captioner.facts.side).float() / 255.0)
    words = torch.full((len(pictures), 1), START)
    done = torch.zeros(len(pictures), dtype=torch.bool)
    while words.shape[1] < captioner.facts.length and not bool(done.all()):
        following = captioner.say(memory, words)[:, -1].argmax(dim=-1)
        following[done] = PAD
        words = torch.cat([words, following[:, None]], dim=1)
        done = done | (following == END)
    return [joined([captioner.facts.words[number - SPECIAL] for number in row if number >= SPECIAL]) for row in words.tolist()]


def write_captioner(path: Path, captioner: Captioner, name: str, facts: Mapping[str, str] | None = None) -> None:
    """Writes a caption model with its lexicon."""
    write_weights(
        path,
        captioner.state_dict(),
        {"modelspec.title": name, FACTS_KEY: json.dumps(asdict(captioner.facts))} | dict(facts or {}),
        torch.float32,
    )


def read_captioner(path: Path) -> Captioner:
    """The caption model of a file. Raises ModelFormatError for one that holds none."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if FACTS_KEY not in metadata:
            raise ModelFormatError(f"{path.name} holds no caption model", name=path.name)
        plain = json.loads(metadata[FACTS_KEY])
        captioner = Captioner(CaptionerFacts(**plain | {"words": tuple(plain["words"])}))
        captioner.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return captioner.eval().requires_grad_(False)


def lexicon(dataset: Dataset) -> tuple[str, ...]:
    """Every word of every caption, sorted."""
    return tuple(sorted({word for example in dataset.examples for caption in example.captions for word in split(caption)}))


def split(text: str) -> list[str]:
    """Words and marks, in small letters."""
    return WORD.findall(text.lower())


def joined(words: Sequence[str]) -> str:
    """The way back from `split`."""
    text = ""
    for word in words:
        text += word if word in CLOSING or not text else f" {word}"
    return text
