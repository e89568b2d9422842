"""The losses of a training as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from PIL import Image, ImageDraw
from torch import Tensor

WIDTH, HEIGHT, MARGIN = 640, 320, 36
PAPER, GRID, FAINT, LINE, INK = (250, 250, 248), (225, 225, 222), (190, 205, 225), (38, 84, 160), (60, 60, 60)
LINES = 4


def curve_picture(losses: Sequence[tuple[int, float]]) -> Tensor:
    """(step, loss) as IMAGE `[1, 320, 640, 3]`: each loss faintly, their running mean strongly."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    top = max((loss for _, loss in losses), default=1.0) or 1.0
    last = max((step for step, _ in losses), default=1)

    def at(step: int, loss: float) -> tuple[float, float]:
        return MARGIN + (WIDTH - 2 * MARGIN) * step / max(1, last), HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(loss, top) / top

    for number in range(LINES + 1):
        level = top * number / LINES
        _, y = at(0, level)
        draw.line([(MARGIN, y), (WIDTH - MARGIN, y)], fill=GRID)
        draw.text((2, y - 6), f"{level:.2g}", fill=INK)
    draw.text((WIDTH - MARGIN - 60, HEIGHT - MARGIN + 8), f"step {last}", fill=INK)
    if len(losses) > 1:
        draw.line([at(step, loss) for step, loss in losses], fill=FAINT)
        draw.line([at(step, mean) for step, mean in running_mean(losses)], fill=LINE, width=2)
    return torch.from_numpy(numpy.array(image)).float()[None] / 255.0


def running_mean(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The mean over the last twentieth of the steps, at least five."""
    reach = max(5, len(losses) // 20)
    values = [loss for _, loss in losses]
    return [(step, sum(values[max(0, i - reach + 1) : i + 1]) / min(reach, i + 1)) for i, (step, _) in enumerate(losses)]
