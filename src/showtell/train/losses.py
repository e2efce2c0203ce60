"""The loss of a batch, as a module: its forward pass is what Fabric wraps for precision and many processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.nets.attending import AttendingDecoder
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.decoder import Decoder, Taught, Tensors
from showtell.settings import AttentionSettings, DecoderSettings, TrainSettings
from showtell.train.self_critical import Sampled

BASELINE_DECAY = 0.9
"""Of the moving average that a sampled caption's log-probability is compared with (Xu et al. 2015, equation 12)."""


class Read(NamedTuple):
    """What a decoder says of the real words of a batch, padding left out; W of them in all."""

    hidden: Tensor
    """[W, D]"""
    targets: Tensor
    """[W]"""
    captions: Tensor
    """[W]: the number of the caption that each word belongs to."""
    taught: list[tuple[Taught, Tensor]]
    """Of each slot, with `[B, N, T]` true where there is a word."""


def read(slots: list[Tensor], pad: int, teach: Callable[[Tensor], Taught], inputs: Callable[[Tensor], Tensor]) -> Read:
    """Let `teach` read the captions [B, N, T] of every slot (see `Batch`), `inputs` made of all words but the last."""
    hidden, targets, captions, all_taught = [], [], [], []
    first = 0
    for tokens in slots:
        following = tokens[:, :, 1:]
        real = following != pad
        taught = teach(inputs(tokens[:, :, :-1]))
        number = first + torch.arange(real[..., 0].numel(), device=tokens.device).view(*real.shape[:2], 1)
        hidden.append(taught.hidden[real])  # only real words cost a vocabulary
        targets.append(following[real])
        captions.append(number.expand_as(real)[real])
        all_taught.append((taught, real))
        first += real[..., 0].numel()
    return Read(torch.cat(hidden), torch.cat(targets), torch.cat(captions), all_taught)


class Inputs(NamedTuple):
    """What a step learns from."""

    features: Tensor
    """The encoder's cached features [B, ...]"""
    slots: list[Tensor]
    """Captions [B, N, T] in slots of like length (see `Batch`)."""
    expected: Tensor | None = None
    """[W, V]: the teachers' log-probabilities at each word."""
    sampled: Sampled | None = None


class CaptionLoss(nn.Module):
    """Cross-entropy of the true next word with label smoothing (Szegedy et al. 2016), over all words of a batch; with
    teachers, of the words that they expect, too, and with samples, of what they were rewarded for."""

    def __init__(
        self,
        model: CaptioningModel,
        decoder: DecoderSettings,
        train: TrainSettings,
        pad: int,
        unknown: int,
        never_written: Sequence[int],
    ) -> None:
        super().__init__()
        self.model = model
        self.pad, self.unknown, self.never_written = pad, unknown, list(never_written)
        self.teachers_weight, self.reward_weight = train.distillation.weight, train.self_critical.weight
        self.label_smoothing, self.word_dropout = train.label_smoothing, train.word_dropout
        self.forcing_per_batch = train.teacher_forcing_per == "batch"
        self.attention = decoder if isinstance(decoder, AttentionSettings) else None

    def forward(
        self, get_inputs: Callable[[], Inputs], train_encoder: bool, forcing: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The loss, and the plain cross-entropy per word in nats. `forcing` is the chance that a true word is read.

        The inputs come from a function because Fabric rounds tensors that it passes on to bfloat16, which nobody does
        to an image when the model is used.
        """
        features, slots, expected, sampled = get_inputs()
        # On a CPU the backward pass of depthwise convolutions is slower in bfloat16 than in float32.
        precision = contextlib.nullcontext() if features.is_cuda else torch.autocast("cpu", enabled=False)
        with precision, torch.set_grad_enabled(train_encoder and torch.is_grad_enabled()):
            regions = self.model.encoder.finish(features)
        memory = self.model.decoder.memory(regions)
        draw = self._drawing(forcing)
        words = read(slots, self.pad, lambda tokens: self._teach(tokens, memory, draw), self._drop_words)
        log_probs = self.model.decoder.logits(words.hidden).float().log_softmax(-1)
        each = functional.nll_loss(log_probs, words.targets, reduction="none")
        entropy = each.mean()
        # Label smoothing by hand, on log-probabilities that are there already: cross_entropy would compute them again
        # to give the plain loss, which is the one that can be compared between runs.
        loss = (1 - self.label_smoothing) * entropy - self.label_smoothing * log_probs.mean()
        if expected is not None:
            theirs = -(expected.exp() * log_probs).sum(-1).mean()
            loss = (1 - self.teachers_weight) * loss + self.teachers_weight * theirs
        if self.attention is not None:
            loss = loss + self._of_attention(words, each.detach(), self.attention)
        if sampled is not None:
            loss = (1 - self.reward_weight) * loss + self.reward_weight * self._of_samples(sampled, memory)
        return loss, entropy.detach()

    def _of_samples(self, sampled: Sampled, memory: Tensors) -> Tensor:
        """REINFORCE (Williams 1992): - advantage x log-probability, the mean over all sampled words."""
        words = read(sampled.slots, self.pad, lambda tokens: self.model.decoder.teach(tokens, memory), lambda ids: ids)
        logits = self.model.decoder.logits(words.hidden).float()
        never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
        never[self.never_written] = True  # sampling chose among the others
        chosen = logits.masked_fill(never, -torch.inf).log_softmax(-1).gather(-1, words.targets.unsqueeze(-1))[:, 0]
        return -(sampled.advantages[words.captions] * chosen).mean()

    def _teach(self, tokens: Tensor, memory: Tensors, draw: Callable[[int], list[bool]]) -> Taught:
        decoder: Decoder = self.model.decoder
        forced = draw(tokens.shape[2])
        return decoder.teach(tokens, memory) if all(forced) else decoder.unroll(tokens, memory, forced)

    def _drawing(self, forcing: float) -> Callable[[int], list[bool]]:
        """Which of so many words are the true ones: drawn for each, or for all words of the batch together."""
        if forcing >= 1:
            return lambda length: [True] * length
        if self.forcing_per_batch:
            force = bool(torch.rand(()) < forcing)
            return lambda length: [force] * length
        return lambda length: (torch.rand(length) < forcing).tolist()

    def _of_attention(self, words: Read, entropies: Tensor, settings: AttentionSettings) -> Tensor:
        """What attention adds to the loss: its regulariser, and how hard attention learns."""
        added = entropies.new_zeros(())
        if settings.doubly_stochastic:
            seen = [(taught.attention, real) for taught, real in words.taught if taught.attention is not None]
            penalties = [doubly_stochastic_penalty(attention, real) for attention, real in seen]
            added = added + settings.doubly_stochastic * torch.cat(penalties).mean()
        decoder = self.model.decoder
        if settings.hard and self.training and isinstance(decoder, AttendingDecoder):
            added = added + hard_attention_loss(words, entropies, decoder.baseline, settings)
        return added

    def _drop_words(self, inputs: Tensor) -> Tensor:
        if not self.word_dropout or not self.training:
            return inputs
        dropped = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
        dropped[:, :, 0] = False  # the language
        return inputs.masked_fill(dropped & (inputs != self.pad), self.unknown)


def doubly_stochastic_penalty(attention: Tensor, real: Tensor) -> Tensor:
    """(1 - sum_t alpha_t)^2 (Xu et al. 2015, equation 14), of each caption that has words and each region.

    attention [B, N, T, S], real [B, N, T] true where there is a word -> [captions, S]
    """
    total = (attention * real.unsqueeze(-1)).sum(2)  # [B, N, S]
    return ((1 - total) ** 2)[real.any(-1)]


def hard_attention_loss(words: Read, entropies: Tensor, baseline: Tensor, settings: AttentionSettings) -> Tensor:
    """What teaches sampled attention where to look: REINFORCE (Xu et al. 2015, equations 11 to 13), as a loss.

    The reward of a caption's regions s is its log-probability given them, less a moving average of it (`baseline`,
    brought up to date here); per word: - lambda_r (log p(y|s) - b) log p(s) - lambda_e H(alpha). `entropies` [W] are
    the words' - log p. Sampled words' gradients, the first term of equation 11, are the cross-entropy's own.
    """
    pieces = [
        (taught.chosen[real], _entropy(taught.attention[real]))
        for taught, real in words.taught
        if taught.chosen is not None and taught.attention is not None
    ]
    chosen, spread = (torch.cat([piece[n] for piece in pieces]) for n in range(2))  # [W] both
    caption: Tensor = torch.unique(words.captions, return_inverse=True)[1]
    rewards = entropies.new_zeros(int(caption.max()) + 1).index_add(0, caption, -entropies)
    if not baseline:
        baseline.copy_(rewards.mean())  # from 0, the first hundred steps would punish whatever was looked at
    advantage = (rewards - baseline)[caption]
    baseline.mul_(BASELINE_DECAY).add_((1 - BASELINE_DECAY) * rewards.mean())
    return -settings.reinforce * (advantage * chosen).mean() - settings.entropy * spread.mean()


def _entropy(weights: Tensor) -> Tensor:
    """[..., S] -> [...], in nats"""
    entropies: Tensor = torch.special.entr(weights.float()).sum(-1)
    return entropies
