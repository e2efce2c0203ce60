"""The training loop of tutorials, which `training.py` compares ours with; written from torch's own modules.

A sample of the DataLoader is a photo and one of its captions (as in sgrvinod's a-PyTorch-Tutorial-to-Image-Captioning),
so the photo is decoded, resized and encoded again for each of its five captions. Everything is in float32 and padding
goes through the output layer. The self-critical step is that of Rennie et al. 2017 with pycocoevalcap's scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

PAD = -1
LONGEST = 22
"""Tokens of a sampled caption."""


class PhotoCaptionPairs(Dataset):
    """Sample i is caption i with its photo, resized to `size` and normalised by `mean` and `std`."""

    def __init__(self, pairs: Sequence[tuple[str, list[int]]], size: int, mean: Any, std: Any) -> None:
        self.pairs, self.size = pairs, size
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, list[int]]:
        path, ids = self.pairs[index]
        with Image.open(path) as photo:
            resized = photo.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, ids


def collate(samples: list[tuple[Tensor, list[int]]]) -> tuple[Tensor, Tensor]:
    """Pixels [B, 3, H, W] and captions [B, T]."""
    tokens = [torch.tensor(ids) for _, ids in samples]
    return torch.stack([pixels for pixels, _ in samples]), nn.utils.rnn.pad_sequence(tokens, True, PAD)


class UsualTransformer(nn.Module):
    """The decoder of `model.decoder.kind=transformer` with its defaults, in torch's modules."""

    def __init__(self, settings: Any, channels: int, regions: int, vocab_size: int, max_length: int) -> None:
        super().__init__()
        width = settings.width
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width), nn.Dropout(settings.dropout))
        self.places = nn.Parameter(torch.randn(regions, width) * 0.02)
        self.embed = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.positions = nn.Parameter(torch.randn(max_length, width) * 0.02)
        self.dropout = nn.Dropout(settings.dropout)
        layer = nn.TransformerDecoderLayer(
            width,
            settings.heads,
            settings.ffn_dim,
            settings.dropout,
            settings.activation,
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, settings.layers, nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def memory(self, regions: Tensor) -> Tensor:
        """[B, S, C] -> [B, S, D]"""
        projected: Tensor = self.project(regions)
        return projected + self.places

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """[B, T], [B, S, D] -> logits [B, T, V]"""
        length = tokens.shape[1]
        x = self.dropout(self.embed(tokens.clamp(min=0)) + self.positions[:length])
        hidden = self.layers(x, memory, nn.Transformer.generate_square_subsequent_mask(length), tgt_is_causal=True)
        return functional.linear(hidden, self.embed.weight, self.bias)


class UsualLoop:
    """Steps of cross-entropy training, one caption for each encoded photo."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, loader: DataLoader, settings: Any) -> None:
        """`settings`: the recipe's `train`."""
        self.encoder, self.decoder, self.settings = encoder, decoder, settings
        self.trained = [p for p in (*encoder.parameters(), *decoder.parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=settings.lr, betas=(0.9, 0.98))
        self.batches = self._endless(loader)
        decoder.train()

    @staticmethod
    def _endless(loader: DataLoader) -> Any:
        while True:
            yield from loader

    def step(self, train_encoder: bool) -> int:
        """One step; the number of its captions."""
        pixels, tokens = next(self.batches)
        with torch.set_grad_enabled(train_encoder):
            regions = self.encoder(pixels)
        logits = self.decoder(tokens[:, :-1], self.decoder.memory(regions))
        loss = functional.cross_entropy(
            logits.flatten(0, 1),
            tokens[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=self.settings.label_smoothing,
        )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, self.settings.max_grad_norm)
        self.optimizer.step()
        return len(tokens)


def sample_with_graph(decoder: Any, memory: Any, prompt: int, end: int, num: int, longest: int) -> tuple[Tensor, ...]:
    """Sampled ids [B, K, T] and their log-probabilities, for which the graph of every step is kept, with cached keys
    and values. `num` 0: the most probable tokens, one caption for each image."""
    state = decoder.init_state(memory)
    rows = max(num, 1)
    batch = next(iter(memory.values())).shape[0]
    state = {name: tensor.expand(-1, rows, *tensor.shape[2:]) for name, tensor in state.items()}
    newest = torch.full((batch, rows), prompt)
    ids, log_probs = [], []
    alive = torch.ones(batch, rows, dtype=torch.bool)
    for _ in range(longest):
        logits, state, _ = decoder.step(newest, memory, state)
        step_log_probs = logits.log_softmax(-1)
        if num:
            newest = torch.multinomial(step_log_probs.detach().exp().flatten(0, 1), 1).view(batch, rows)
        else:
            newest = step_log_probs.argmax(-1)
        newest = torch.where(alive, newest, end)
        ids.append(newest)
        log_probs.append(step_log_probs.gather(-1, newest.unsqueeze(-1)).squeeze(-1) * alive)
        alive = alive & (newest != end)
        if not alive.any():
            break
    return torch.stack(ids, -1), torch.stack(log_probs, -1)


def usual_self_critical_loss(
    decoder: Any, regions: Tensor, memory: Any, images: np.ndarray, prompt: int, end: int, num: int, reward: Callable
) -> Tensor:
    """- (reward - greedy caption's reward) x log-probability, the mean over all sampled tokens. `memory` is that of
    `regions` in training, with dropout."""
    decoder.eval()
    with torch.no_grad():
        greedy, _ = sample_with_graph(decoder, decoder.encode_memory(regions), prompt, end, 0, LONGEST)
    decoder.train()
    ids, log_probs = sample_with_graph(decoder, memory, prompt, end, num, LONGEST)
    baseline = torch.tensor(reward(greedy[:, 0].numpy(), images))
    rewards = torch.tensor(reward(ids.flatten(0, 1).numpy(), images.repeat(num))).view(-1, num)
    advantages = (rewards - baseline[:, None]).float().unsqueeze(-1)
    return -(advantages * log_probs).sum() / (log_probs != 0).sum()
