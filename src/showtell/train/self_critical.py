"""Self-critical training: a model samples captions, and learns to prefer those that score higher.

Rennie et al. 2017 ("Self-critical Sequence Training for Image Captioning"), with the mean reward of an image's other
samples as the baseline of each (Luo 2020, "A Better Variant of Self-Critical Sequence Training"; Kool, van Hoof &
Welling 2019): it costs no greedy search, and its gradient is unbiased. Samples are drawn without gradients, by the same
search as anywhere else, and then read again with the image's features at hand, which is many times cheaper than to
remember how they came about. The loss of this reading is in `losses`, where it is mixed with cross-entropy: by the
reward alone language soon becomes a list of likely phrases.

How a sample is rewarded is a function that comes from outside; training knows nothing of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.core.rules import Ban, MaxLength, Rule
from showtell.core.search import sample
from showtell.core.stepper import Ids
from showtell.core.text import Text
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.train.augment import MIRRORED_WORDS, is_mirrored
from showtell.train.batches import Batch, Photo

Reward = Callable[[Ids, Ids], NDArray[np.float64]]
"""Samples `[R, T]` and the images `[R]` they are of -> `[R]`. Behind its end a sample goes on with ends; one that was
cut off has none."""
MakeReward = Callable[[Sequence[Sequence[Sequence[int]]], int], Reward]
"""From the captions of each image, as ids without start and end, and from the id of the end."""


class Sampled(NamedTuple):
    """Captions that a model has written in training, K of every image in each language."""

    slots: list[Tensor]
    """`[B, K, T]` of each language: start, words, end, padding. One that was cut off has no end."""
    advantages: Tensor
    """`[captions]`, in the order of `losses.read`: how much better than the image's other samples."""
    reward: float
    """Their mean."""
    length: float
    """Their mean, in words."""


class SelfCritic:
    """Draws samples of training photos and rewards them."""

    def __init__(
        self, photos: Sequence[Photo], text: Text, samples: int, max_words: int, seed: int, make_reward: MakeReward
    ) -> None:
        self.text, self.samples, self.max_words, self.seed = text, samples, max_words, seed
        self.rules: list[Rule] = [Ban(text.special_ids), MaxLength(max_words, text.end)]
        self.mirrored = mirrored_ids(text)
        self.rewards = {
            language: _Rewarded(photos, start, text.end, make_reward) for language, start in text.starts.items()
        }

    def __call__(self, model: CaptioningModel, features: Tensor, batch: Batch, step: int) -> Sampled:
        """Sample captions of a batch whose cached `features` are at hand. What is drawn depends on the seed, `step` and
        the batch only, so that a run resumes."""
        # Batches whose gradients are added up are of one step; the first photo tells them apart.
        random = np.random.default_rng([self.seed, step, int(batch.images[0])])
        training = model.training
        stepper = TorchStepper(model, lambda given: model.decoder.memory(model.encoder.finish(given)))
        memory = stepper.encode(features)
        pairs = zip(batch.images.tolist(), batch.views.tolist(), strict=True)
        mirrored = np.array([is_mirrored(self.seed, image, view) for image, view in pairs])
        slots, advantages, rewards, lengths = [], [], [], []
        for language, rewarded in self.rewards.items():
            ids = self._sample(stepper, memory, len(batch.images), self.text.starts[language], random)  # [B, K, T]
            seen = np.where(mirrored[:, None, None], self.mirrored[ids], ids)
            reward = rewarded(seen, batch.images)  # [B, K]
            others = (reward.sum(1, keepdims=True) - reward) / (self.samples - 1)
            slots.append(self._slot(ids, self.text.starts[language]))
            advantages.append(torch.from_numpy(reward - others).float().flatten())
            rewards.append(reward.mean())
            lengths.append((ids != self.text.end).sum(-1).mean())
        model.train(training)
        return Sampled(slots, torch.cat(advantages), float(np.mean(rewards)), float(np.mean(lengths)))

    def _sample(self, stepper: TorchStepper, memory: Any, count: int, start: int, random: np.random.Generator) -> Ids:
        """[B, K, T]: words, then ends."""
        starts = np.full(count, start)
        found = sample(stepper, memory, starts, self.text.end, self.rules, self.samples, random)
        ids = np.full((count, self.samples, self.max_words), self.text.end)
        for b, hypotheses in enumerate(found):
            for k, hypothesis in enumerate(hypotheses):
                ids[b, k, : len(hypothesis.words)] = hypothesis.words
        return ids

    def _slot(self, ids: Ids, start: int) -> Tensor:
        """[B, K, T] words, then ends -> [B, K, T + 1 or 2]: start, words, one end, padding. An end that only the
        greatest length has brought about was not chosen, and is not learned."""
        length = (ids != self.text.end).sum(-1, keepdims=True)
        place = np.arange(self.max_words)
        ended = np.where(place < length, ids, np.where(place == length, self.text.end, self.text.pad))
        whole = np.concatenate([np.full((*ids.shape[:2], 1), start), ended], 2)
        return torch.from_numpy(whole[:, :, : min(int(length.max()) + 2, whole.shape[2])].copy())


class _Rewarded:
    """The reward in one language, for all photos: 0 for one that has no captions in it."""

    def __init__(self, photos: Sequence[Photo], start: int, end: int, make_reward: MakeReward) -> None:
        captions = [[ids[1:-1] for ids in photo.tokens if ids[0] == start] for photo in photos]
        there = np.array([bool(each) for each in captions])
        self.number = np.where(there, there.cumsum() - 1, -1)
        self.reward = make_reward([each for each in captions if each], end)

    def __call__(self, ids: Ids, images: Ids) -> NDArray[np.float64]:
        """`ids` `[B, K, T]` of `images` `[B]` -> [B, K]"""
        numbers, rewards = self.number[images], np.zeros(ids.shape[:2])
        there = numbers >= 0
        if there.any():
            rows = ids[there].reshape(-1, ids.shape[2])
            rewards[there] = self.reward(rows, numbers[there].repeat(ids.shape[1])).reshape(-1, ids.shape[1])
        return rewards


def mirrored_ids(text: Text) -> Ids:
    """`[V]`: what each id is in the mirrored photo's caption. Half of the views are mirrored; what a model says of one
    is mirrored back, and compared with the captions as they were written."""
    ids = np.arange(text.size)
    for language in text.languages:
        for word, other in MIRRORED_WORDS.get(language, {}).items():
            if len(pair := text.ids([word, other])) == 2:
                ids[pair] = pair[::-1]
    return ids
