"""Networks that read pictures: attributes (several questions with fixed answers, style among them) and the direction of light."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.training.buckets import Bucket, fitted
from marquetry.engine.training.compute import Compute
from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.recipe import StageRecipe
from marquetry.engine.training.stage import Draws, Stage
from marquetry.engine.training.weight_file import write_weights

ReaderKind: TypeAlias = Literal["attributes", "direction"]
FACTS_KEY = "marquetry.reader"
GROUPS = 8
UNKNOWN = -1  # an answer that is not known of a picture, and not learnt from
DIMENSIONS = 3


@dataclass(frozen=True)
class ReaderFacts:
    """What a reader is, as it travels in its file. `questions` are the answers to each attribute, in their order."""

    kind: ReaderKind
    side: int = 64
    widths: tuple[int, ...] = (32, 64, 96, 128)
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> str:
        """For a file's metadata."""
        questions = {name: list(answers) for name, answers in self.questions.items()}
        return json.dumps({"kind": self.kind, "side": self.side, "widths": list(self.widths), "questions": questions})

    @classmethod
    def from_json(cls, text: str) -> ReaderFacts:
        """From a file's metadata. Raises ModelFormatError."""
        try:
            plain = json.loads(text)
            questions = {str(name): tuple(map(str, answers)) for name, answers in plain["questions"].items()}
            return cls(plain["kind"], int(plain["side"]), tuple(map(int, plain["widths"])), questions)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFormatError(f"the description of this picture reader is damaged: {error}") from error


class PictureReader(nn.Module):
    """A small residual network: `[B, 3, side, side]` in 0..1 to one output per question, logits `[B, answers]` or directions `[B, 3]`."""

    def __init__(self, facts: ReaderFacts) -> None:
        super().__init__()
        self.facts = facts
        self.first = nn.Conv2d(3 + 2, facts.widths[0], 5, padding=2)
        self.blocks = nn.ModuleList()
        for before, width in zip(facts.widths, (*facts.widths[1:], facts.widths[-1]), strict=True):
            self.blocks.append(_Block(before, width))
        outputs = (
            {"direction": DIMENSIONS} if facts.kind == "direction" else {name: len(answers) for name, answers in facts.questions.items()}
        )
        last = facts.widths[-1]
        self.heads = nn.ModuleDict({_safe(name): nn.Linear(2 * last, count) for name, count in outputs.items()})
        self.names = {_safe(name): name for name in outputs}

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """See the class. Directions have length one."""
        x = self.first(torch.cat([pictures * 2.0 - 1.0, _places(pictures)], dim=1))
        for block in self.blocks:
            x = block(x)
        seen = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        answers = {self.names[key]: head(seen) for key, head in self.heads.items()}
        return {name: functional.normalize(value, dim=-1) for name, value in answers.items()} if self.facts.kind == "direction" else answers


class _Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, before), nn.Conv2d(before, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, width, 3, padding=1)
        self.across = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.conv2(functional.silu(self.norm2(self.conv1(functional.silu(self.norm1(x))))))
        return functional.avg_pool2d(self.across(x) + inner, 2)


class ReaderStage(Stage):
    """Learns from pictures, bytes `[N, H, W, 3]`, and truths: numbers of answers `[N]` by question, or directions `[N, 3]`."""

    def __init__(
        self,
        pictures: Sequence[Tensor],
        truths: Mapping[str, Tensor],
        facts: ReaderFacts,
        recipe: StageRecipe,
        seed: int,
        compute: Compute | None = None,
    ) -> None:
        wanted = {"direction"} if facts.kind == "direction" else set(facts.questions)
        if not len(pictures) or set(truths) != wanted or any(len(truth) != len(pictures) for truth in truths.values()):
            raise TrainingFailed(f"a reader needs pictures, and for each of them the truth about {', '.join(sorted(wanted))}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.reader = PictureReader(facts)
        super().__init__(self.reader, recipe, seed, compute)
        self.pictures = as_seen(pictures, facts.side)
        self.truths = truths

    def loss(self, draws: Draws) -> Tensor:
        """Cross-entropy over all questions, unknown answers left out; for directions, one less the cosine."""
        chosen = torch.randint(len(self.pictures), (self.recipe.batch,), generator=draws.tensors)
        brightness = 1.0 + 0.1 * (torch.rand(self.recipe.batch, 1, 1, 1, generator=draws.tensors) - 0.5)
        seen = (self.pictures[chosen].float() / 255.0 * brightness).clamp(0.0, 1.0).to(self.compute.device)
        with self.compute.autocast():
            answers = self.reader(seen)
        total = torch.zeros((), device=self.compute.device)
        for name, answer in answers.items():
            truth = self.truths[name][chosen].to(self.compute.device)
            if self.reader.facts.kind == "direction":
                total = total + (1.0 - (answer.float() * functional.normalize(truth.float(), dim=-1)).sum(dim=-1)).mean()
            elif bool((truth != UNKNOWN).any()):
                total = total + functional.cross_entropy(answer.float(), truth.long(), ignore_index=UNKNOWN)
        for answer in answers.values():  # a batch in which nothing is known still has a gradient, of zero
            total = total + 0.0 * answer.float().sum()
        return total

    def trained(self) -> PictureReader:
        """The averaged network, ready for use."""
        made = PictureReader(self.reader.facts)
        with self.average.applied(self.networks):
            made.load_state_dict({name: weight.detach().cpu() for name, weight in self.reader.state_dict().items()})
        return made.eval().requires_grad_(False)


def write_reader(path: Path, reader: PictureReader, name: str, facts: Mapping[str, str] | None = None) -> None:
    """Writes a reader with what it needs to be read back; `facts` are more metadata, such as its accuracy."""
    write_weights(
        path, reader.state_dict(), {"modelspec.title": name, FACTS_KEY: reader.facts.as_json()} | dict(facts or {}), torch.float32
    )


def read_reader(path: Path) -> PictureReader:
    """The reader of a file. Raises ModelFormatError for one that holds none."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if FACTS_KEY not in metadata:
            raise ModelFormatError(f"{path.name} holds no picture reader", name=path.name)
        reader = PictureReader(ReaderFacts.from_json(metadata[FACTS_KEY]))
        reader.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return reader.eval().requires_grad_(False)


@torch.no_grad()
def read_attributes(reader: PictureReader, pictures: Sequence[Tensor]) -> list[dict[str, tuple[str, float]]]:
    """For each picture (bytes `[H, W, 3]`) the answer to each question, and how sure the reader is, 0..1."""
    answers = reader(as_seen(pictures, reader.facts.side).float() / 255.0)
    found: list[dict[str, tuple[str, float]]] = []
    for row in range(len(pictures)):
        shares = {name: answer[row].softmax(dim=-1) for name, answer in answers.items()}
        found.append({name: (reader.facts.questions[name][int(share.argmax())], float(share.max())) for name, share in shares.items()})
    return found


@torch.no_grad()
def read_directions(reader: PictureReader, pictures: Sequence[Tensor]) -> Tensor:
    """`[N, 3]` of length one."""
    directions: Tensor = reader(as_seen(pictures, reader.facts.side).float() / 255.0)["direction"]
    return directions


def style_facts(styles: Sequence[str], side: int = 64) -> ReaderFacts:
    """A style classifier: a reader with one question."""
    return ReaderFacts("attributes", side, questions={"style": tuple(styles)})


def as_seen(pictures: Sequence[Tensor], side: int) -> Tensor:
    """Bytes of any shape as bytes `[N, 3, side, side]`."""
    return torch.stack([fitted(picture, Bucket(side, side)) for picture in pictures]).permute(0, 3, 1, 2).contiguous()


def _places(pictures: Tensor) -> Tensor:
    """Where each pixel is, `[B, 2, H, W]` in -1..1: light and position can't be told without it."""
    height, width = pictures.shape[-2:]
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([rows, columns]).to(pictures).expand(len(pictures), -1, -1, -1)


def _safe(name: str) -> str:
    return name.replace(".", " ")
