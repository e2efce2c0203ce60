"""Self-critical training: REINFORCE on captions that the model samples, rewarded by a metric.

Rennie et al. 2017 ("Self-critical Sequence Training for Image Captioning"), with the mean reward of an image's other
samples as the baseline of each (Luo 2020, "A Better Variant of Self-Critical Sequence Training"; Kool, van Hoof &
Welling 2019): it needs no greedy search, and its gradient is unbiased. Samples are drawn without gradients by
`sampling`, and then scored again by teacher forcing, which is many times cheaper than keeping the graph of the
sampling. The loss is in `losses`, where it is mixed with cross-entropy: with the reward alone captions soon become
lists of likely phrases.

The reward is a function passed in by the caller; training does not import metrics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from showtell.core.stepper import Ids
from showtell.core.tokenizer import AnyTokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Decoder, Tensors
from showtell.train.augment import is_mirrored, mirror_words, without_mirrored_words
from showtell.train.batches import PAD, Batch, Photo
from showtell.train.sampling import sample_captions

WORD_MARKS = ("Ġ", "▁")
"""What byte-level and unigram vocabularies write for the space before a word."""
Reward = Callable[[Ids, Ids], NDArray[np.float64]]
"""From samples `[R, T]` and their images `[R]` to rewards `[R]`. A sample is padded with ends; a truncated one has no
end."""
MakeReward = Callable[[Sequence[Sequence[Sequence[int]]], int], Reward]
"""From the captions of each image, as ids without prompt and end, and the id of the end, to a `Reward`."""


class SampledCaptions(NamedTuple):
    """Captions that a model has sampled in training, K of every image in each language."""

    slots: list[Tensor]
    """`[B, K, T]` of each language: prompt, tokens, end, padding. A truncated caption has no end. The captions of an
    image are in order of length, so that the k-th of all images together need little padding."""
    advantages: Tensor
    """`[captions]`, in the order of `slots`: reward less the mean of the image's other samples."""
    reward: float
    """Mean reward."""
    length: float
    """Mean length, in tokens."""


class SelfCritic:
    """Samples captions of training photos and computes their rewards."""

    def __init__(
        self,
        photos: Sequence[Photo],
        tokenizer: AnyTokenizer,
        vocab_size: int,
        num_samples: int,
        max_length: int,
        seed: int,
        make_reward: MakeReward,
    ) -> None:
        self.tokenizer, self.num_samples, self.max_length, self.seed = tokenizer, num_samples, max_length, seed
        self.mirror = not without_mirrored_words(tokenizer.languages)
        self.mirrored = {language: mirrored_ids(tokenizer, language, vocab_size) for language in tokenizer.languages}
        self.rewards = {
            language: _LanguageReward(
                photos, language, len(tokenizer.prompt_ids(language)), tokenizer.eos_id, make_reward
            )
            for language in tokenizer.languages
        }

    def __call__(self, model: CaptioningModel, features: Tensor, batch: Batch, step: int) -> SampledCaptions:
        """Sample captions of a batch with these cached `features`. The draw depends on the seed, `step` and the batch
        only, so that a run resumes."""
        # Accumulated batches have the same step; the first photo tells them apart.
        rng = np.random.default_rng([self.seed, step, int(batch.images[0])])
        was_training = model.training
        model.eval()
        with torch.no_grad():
            # As in `losses`, the encoder computes in float32 on a CPU.
            with contextlib.nullcontext() if features.is_cuda else torch.autocast("cpu", enabled=False):
                regions = model.encoder.forward_trainable(features)
            memory = model.decoder.encode_memory(regions)
        pairs = zip(batch.images.tolist(), batch.views.tolist(), strict=True)
        mirrored = np.array([self.mirror and is_mirrored(self.seed, image, view) for image, view in pairs])
        slots, advantages, rewards, lengths = [], [], [], []
        for language, reward_function in self.rewards.items():
            prompt = self.tokenizer.prompt_ids(language)
            ids = self._sample(model.decoder, memory, prompt, rng)  # [B, K, T]
            unmirrored = np.where(mirrored[:, None, None], self.mirrored[language][ids], ids)
            reward = reward_function(unmirrored, batch.images)  # [B, K]
            baseline = (reward.sum(1, keepdims=True) - reward) / (self.num_samples - 1)
            slots.append(self._slot(ids, prompt))
            advantages.append(torch.from_numpy(reward - baseline).float().flatten())
            rewards.append(reward.mean())
            lengths.append((ids != self.tokenizer.eos_id).sum(-1).mean())
        model.train(was_training)
        return SampledCaptions(slots, torch.cat(advantages), float(np.mean(rewards)), float(np.mean(lengths)))

    def _sample(self, decoder: Decoder, memory: Tensors, prompt: Sequence[int], rng: np.random.Generator) -> Ids:
        """[B, K, T]: tokens, then ends; the shortest caption of an image first (see `SampledCaptions`)."""
        tokenizer = self.tokenizer
        limits = self.num_samples, tokenizer.eos_id, tokenizer.banned_ids, self.max_length
        ids = sample_captions(decoder, memory, prompt, *limits, rng)
        order = np.argsort((ids != tokenizer.eos_id).sum(-1), axis=1, kind="stable")
        return np.take_along_axis(ids, order[:, :, None], 1)

    def _slot(self, ids: Ids, prompt: Sequence[int]) -> Tensor:
        """[B, K, T] tokens, then ends -> [B, K, P + T or P + T + 1]: prompt, tokens, one end, padding. A
        truncated caption has no end in the slot, for none was sampled."""
        eos_id = self.tokenizer.eos_id
        length = (ids != eos_id).sum(-1, keepdims=True)
        position = np.arange(self.max_length)
        padded = np.where(position < length, ids, np.where(position == length, eos_id, PAD))
        tokens = np.concatenate([np.tile(np.array(prompt, np.int64), (*ids.shape[:2], 1)), padded], 2)
        longest = min(len(prompt) + int(length.max()) + 1, tokens.shape[2])
        return torch.from_numpy(tokens[:, :, :longest].copy())


class _LanguageReward:
    """The reward in one language; 0 for photos without captions in it."""

    def __init__(
        self, photos: Sequence[Photo], language: str, prompt_length: int, eos_id: int, make_reward: MakeReward
    ) -> None:
        captions = [
            [ids[prompt_length:-1] for ids, of in zip(photo.tokens, photo.languages, strict=True) if of == language]
            for photo in photos
        ]
        has_captions = np.array([bool(references) for references in captions])
        self.index = np.where(has_captions, has_captions.cumsum() - 1, -1)
        self.reward = make_reward([references for references in captions if references], eos_id)

    def __call__(self, ids: Ids, images: Ids) -> NDArray[np.float64]:
        """`ids` `[B, K, T]` of `images` `[B]` -> [B, K]"""
        index, rewards = self.index[images], np.zeros(ids.shape[:2])
        has_captions = index >= 0
        if has_captions.any():
            rows = ids[has_captions].reshape(-1, ids.shape[2])
            row_rewards = self.reward(rows, index[has_captions].repeat(ids.shape[1]))
            rewards[has_captions] = row_rewards.reshape(-1, ids.shape[1])
        return rewards


def mirrored_ids(tokenizer: AnyTokenizer, language: str, vocab_size: int) -> Ids:
    """`[V]`: each id's counterpart in the caption of the mirrored photo (left, right) in this language. A caption
    sampled for a mirrored view is mirrored back before it is compared with the references."""
    ids = np.arange(vocab_size)
    by_token = {token: i for i, token in enumerate(tokenizer.ids_to_tokens(ids))}
    for token, i in by_token.items():
        mark = token[:1] if token.startswith(WORD_MARKS) else ""
        other = by_token.get(mark + mirror_words(token.removeprefix(mark), language), i)
        ids[[i, other]] = other, i
    return ids
