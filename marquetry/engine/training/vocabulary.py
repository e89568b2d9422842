"""Captions as CLIP's text encoder takes them: 77 tokens, from start mark to end mark, padded with the end mark."""

import torch
from torch import Tensor

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN, tokenize
from marquetry.engine.training.networks import TOKENS_MAX


def token_ids(captions: list[str]) -> Tensor:
    """Captions to ids `[B, 77]`; what does not fit is cut off."""
    rows = []
    for caption in captions:
        inside = tokenize(caption)[: TOKENS_MAX - 2]
        rows.append([START_TOKEN, *inside] + [END_TOKEN] * (TOKENS_MAX - 1 - len(inside)))
    return torch.tensor(rows)
