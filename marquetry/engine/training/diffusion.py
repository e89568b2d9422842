"""Stage two: the text encoder and the UNet learn together to name the noise in latents, given a caption."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from marquetry.engine.training.compute import Compute
from marquetry.engine.training.examples import Examples
from marquetry.engine.training.lexicon import Lexicon
from marquetry.engine.training.networks import Network, build_text_encoder, build_unet
from marquetry.engine.training.noise import add_noise, draw_noise, min_snr_weights, signal_shares, spread_timesteps, target
from marquetry.engine.training.recipe import Recipe
from marquetry.engine.training.stage import Draws, Stage

EMBEDDING_DEVIATION = 0.3


class DiffusionStage(Stage):
    """Prediction of noise or velocity with min-SNR weights; some captions are emptied so that guidance has something to lean on."""

    def __init__(self, latents: Tensor, examples: Examples, recipe: Recipe, seed: int, compute: Compute | None = None) -> None:
        self.lexicon = Lexicon(examples.words())
        self.text_encoder: Network = build_text_encoder(recipe.networks, self.lexicon.size)
        self.unet: Network = build_unet(recipe.networks)
        table = self.text_encoder.get_input_embeddings().weight
        nn.init.normal_(table, std=EMBEDDING_DEVIATION)
        with torch.no_grad():
            table[0] = 0.0
        table.register_hook(_without_neutral_row)
        networks: Network = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})
        super().__init__(networks.to(memory_format=torch.channels_last), recipe.diffusion, seed, compute)
        self.latents = latents  # [N, 4, h, w], mean 0, deviation 1
        self.examples = examples
        self.caption_dropout = recipe.caption_dropout
        self.min_snr_gamma = recipe.min_snr_gamma
        self.prediction = recipe.prediction
        self.noise_offset = recipe.noise_offset
        self.signal_shares = signal_shares()

    def loss(self, draws: Draws) -> Tensor:
        """See the class. Time steps are spread evenly over the batch, which steadies the loss."""
        batch = self.recipe.batch
        chosen = torch.randint(len(self.latents), (batch,), generator=draws.tensors)
        latents = self.latents[chosen]
        noise = draw_noise(latents.shape, draws.tensors, self.noise_offset)
        timesteps = spread_timesteps(batch, draws.tensors)
        share = self.signal_shares[timesteps]
        captions = [
            "" if draws.words.random() < self.caption_dropout else self.examples.caption(index, draws.words)
            for index in cast(list[int], chosen.tolist())
        ]
        device = self.compute.device
        noisy = add_noise(latents, noise, share).to(device).contiguous(memory_format=torch.channels_last)
        with self.compute.autocast():
            context = self.text_encoder(self.lexicon.compact(captions).to(device)).last_hidden_state
            predicted = self.unet(noisy, timesteps.to(device), context).sample.float()
        wanted = target(self.prediction, latents, noise, share).to(device)
        error = (predicted - wanted).square().mean(dim=(1, 2, 3))
        weighted: Tensor = (error * min_snr_weights(share, self.min_snr_gamma, self.prediction).to(device)).mean()
        return weighted


def _without_neutral_row(gradient: Tensor) -> Tensor:
    """Keeps row 0 at zero."""
    gradient = gradient.clone()
    gradient[0] = 0.0
    return gradient
