"""The loss of a batch as a module: its forward pass is what Fabric wraps for mixed precision and many processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.companion import tag_regions
from showtell.nets.decoder import DecoderOutput, Tensors
from showtell.settings import AttentionSettings, TrainSettings
from showtell.train.batches import PAD
from showtell.train.cross_entropy import cross_entropy_overwriting
from showtell.train.self_critical import SampledCaptions

BASELINE_DECAY = 0.9
"""Of the moving average of a caption's log-probability under hard attention (Xu et al. 2015, equation 12)."""


class PackedOutput(NamedTuple):
    """A decoder's output at the W target tokens of a batch, padding removed."""

    hidden: Tensor
    """[W, D]"""
    targets: Tensor
    """[W]"""
    captions: Tensor
    """[W]: the index of the caption that each token belongs to."""
    slots: list[tuple[DecoderOutput, Tensor]]
    """Per slot (see `Batch`): the output, and the mask `[B, N, T]` of targets."""


def forward_packed(
    slots: list[Tensor],
    prompt_length: int,
    decode: Callable[[Sequence[Tensor]], Sequence[DecoderOutput]],
    transform: Callable[[Tensor], Tensor] = lambda inputs: inputs,
) -> PackedOutput:
    """Apply `decode` to the captions [B, N, T] of all slots, which begin with `prompt_length` tokens that are no
    targets. `transform` is applied to the inputs, which are all tokens but the last."""
    hidden, targets, captions, outputs = [], [], [], []
    first = 0
    # Any token will do where nothing is learned.
    decoded = decode([transform(tokens[:, :, :-1]).clamp(min=0) for tokens in slots])
    for tokens, output in zip(slots, decoded, strict=True):
        following = tokens[:, :, 1:]
        mask = following != PAD
        mask[:, :, : prompt_length - 1] = False
        count = mask[..., 0].numel()
        index = first + torch.arange(count, device=tokens.device).view(*mask.shape[:2], 1)
        hidden.append(output.hidden[mask])  # padding is never multiplied by the vocabulary
        targets.append(following[mask])
        captions.append(index.expand_as(mask)[mask])
        outputs.append((output, mask))
        first += count
    return PackedOutput(torch.cat(hidden), torch.cat(targets), torch.cat(captions), outputs)


class LossInputs(NamedTuple):
    """The inputs of one forward pass."""

    features: Tensor | None
    """The encoder's cached features [B, ...]; None for sentences without photos."""
    slots: list[Tensor]
    """Captions [B, N, T] in slots of similar length (see `Batch`)."""
    teacher_log_probs: Tensor | None = None
    """[W, V], of the distillation teachers."""
    sampled: SampledCaptions | None = None
    nouns: Tensor | None = None
    """[B, n]: of sentences without photos, the probabilities of the encoder's tags."""


class CaptionLoss(nn.Module):
    """Cross-entropy of the next token with label smoothing (Szegedy et al. 2016), averaged over all tokens of a batch;
    plus distillation, attention and self-critical losses where the settings ask for them."""

    def __init__(
        self,
        model: CaptioningModel,
        train: TrainSettings,
        prompt_length: int,
        unk_id: int | None,
        banned_ids: Sequence[int],
    ) -> None:
        """`prompt_length`: see `batches.prompt_length`. `unk_id` takes the place of dropped words; `banned_ids` are
        never sampled in self-critical training."""
        super().__init__()
        self.model = model
        self.prompt_length, self.unk_id, self.banned_ids = prompt_length, unk_id, list(banned_ids)
        self.distillation_weight, self.reward_weight = train.distillation.weight, train.self_critical.weight
        self.label_smoothing, self.word_dropout = train.label_smoothing, train.word_dropout
        self.forcing_per_batch = train.teacher_forcing_per == "batch"

    def forward(
        self, get_inputs: Callable[[], LossInputs], train_encoder: bool, teacher_forcing: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The loss, and the plain cross-entropy per token in nats. `teacher_forcing` is the probability that a
        reference token is the input.

        The inputs come from a function because Fabric casts tensor arguments to bfloat16, while inference does not cast
        images.
        """
        features, slots, teacher_log_probs, sampled, nouns = get_inputs()
        regions = self._no_regions(slots[0], nouns) if features is None else self._regions(features, train_encoder)
        memory = self.model.decoder.encode_memory(regions)
        draw = self._forcing_sampler(teacher_forcing)
        output = forward_packed(
            slots, self.prompt_length, lambda inputs: self._decode(inputs, memory, draw), self._drop_words
        )
        logits = self.model.decoder.logits(output.hidden)
        if teacher_log_probs is None:
            loss, token_losses = cross_entropy_overwriting(logits, output.targets, self.label_smoothing)
        else:
            loss, token_losses = self._distillation_loss(logits, output.targets, teacher_log_probs)
        if (settings := self.model.decoder.attention_settings) is not None:
            loss = loss + self._attention_loss(output, token_losses, settings)
        if sampled is not None:
            loss = (1 - self.reward_weight) * loss + self.reward_weight * self._self_critical_loss(sampled, memory)
        return loss, token_losses.mean()

    def _regions(self, features: Tensor, train_encoder: bool) -> Tensor:
        """[B, S, C]"""
        # On a CPU the backward pass of depthwise convolutions is slower in bfloat16 than in float32.
        precision = contextlib.nullcontext() if features.is_cuda else torch.autocast("cpu", enabled=False)
        with precision, torch.set_grad_enabled(train_encoder and torch.is_grad_enabled()):
            return self.model.encoder.forward_trainable(features)

    def _no_regions(self, tokens: Tensor, nouns: Tensor | None) -> Tensor:
        """[B, S, C] zeros in place of an image, after its tags, for captions [B, N, T]."""
        encoder, weight = self.model.encoder, next(self.model.decoder.parameters())
        shape = len(tokens), encoder.num_regions, encoder.channels
        regions = torch.zeros(shape, dtype=weight.dtype, device=tokens.device)
        if encoder.num_tags and nouns is not None:
            regions[:, : encoder.num_tags] = tag_regions(nouns, encoder.num_tags, encoder.channels)
        return regions

    def _distillation_loss(self, logits: Tensor, targets: Tensor, teacher_log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy mixed with that on the teachers' probabilities, and the plain one of each token [W]."""
        log_probs = logits.float().log_softmax(-1)
        token_losses = functional.nll_loss(log_probs, targets, reduction="none")
        loss = (1 - self.label_smoothing) * token_losses.mean() - self.label_smoothing * log_probs.mean()
        distillation = -(teacher_log_probs.exp() * log_probs).sum(-1).mean()
        loss = (1 - self.distillation_weight) * loss + self.distillation_weight * distillation
        return loss, token_losses.detach()

    def _self_critical_loss(self, sampled: SampledCaptions, memory: Tensors) -> Tensor:
        """REINFORCE (Williams 1992): - advantage x log-probability, the mean over all sampled tokens."""
        decoder = self.model.decoder
        slots, advantages = _by_rank(sampled)
        output = forward_packed(slots, self.prompt_length, lambda inputs: decoder.forward_slots(inputs, memory))
        return cross_entropy_overwriting(
            decoder.logits(output.hidden),
            output.targets,
            weights=advantages[output.captions],
            banned_ids=self.banned_ids,  # sampling excluded them
        )[0]

    def _decode(
        self, slots: Sequence[Tensor], memory: Tensors, draw: Callable[[int], list[bool]]
    ) -> Sequence[DecoderOutput]:
        is_forced = [draw(tokens.shape[2]) for tokens in slots]
        if all(map(all, is_forced)):
            outputs: Sequence[DecoderOutput] = self.model.decoder.forward_slots(slots, memory)
            return outputs
        return [
            self.model.decoder.unroll(tokens, memory, forced) for tokens, forced in zip(slots, is_forced, strict=True)
        ]

    def _forcing_sampler(self, probability: float) -> Callable[[int], list[bool]]:
        """From a length to whether each input is the reference's: drawn for every token, or once for the batch. Those
        of the prompt always are (the decoder itself sees to the first)."""
        if probability >= 1:
            return lambda length: [True] * length
        given = [True] * (self.prompt_length - 1)
        if self.forcing_per_batch:
            is_forced = bool(torch.rand(()) < probability)
            return lambda length: [is_forced, *given, *[is_forced] * length][:length]

        def draw(length: int) -> list[bool]:
            drawn: list[bool] = (torch.rand(length) < probability).tolist()
            return [*drawn[:1], *given, *drawn[1 + len(given) :]][:length]

        return draw

    def _attention_loss(self, output: PackedOutput, token_losses: Tensor, settings: AttentionSettings) -> Tensor:
        """The attention regulariser, and the loss of hard attention."""
        loss = token_losses.new_zeros(())
        if settings.doubly_stochastic_weight:
            penalties = [
                doubly_stochastic_loss(slot.attention, mask)
                for slot, mask in output.slots
                if slot.attention is not None
            ]
            loss = loss + settings.doubly_stochastic_weight * torch.cat(penalties).mean()
        if settings.hard and self.training:
            loss = loss + hard_attention_loss(output, token_losses, self.model.decoder.reward_baseline, settings)
        return loss

    def _drop_words(self, inputs: Tensor) -> Tensor:
        if not self.word_dropout or not self.training:
            return inputs
        assert self.unk_id is not None
        is_dropped = torch.rand(inputs.shape, device=inputs.device) < self.word_dropout
        is_dropped[:, :, : self.prompt_length] = False  # for our own models the start token, that is the language
        return inputs.masked_fill(is_dropped & (inputs != PAD), self.unk_id)


def _by_rank(sampled: SampledCaptions) -> tuple[list[Tensor], Tensor]:
    """The captions in slots [B, 1, T], the k-th shortest of each image together as in a `Batch`, and their advantages
    in that order."""
    slots, advantages = [], []
    of_language = torch.split(sampled.advantages, [slot.shape[0] * slot.shape[1] for slot in sampled.slots])
    for slot, rewards in zip(sampled.slots, of_language, strict=True):
        longest = (slot != PAD).sum(-1).amax(0).tolist()
        slots += [slot[:, k : k + 1, :length] for k, length in enumerate(longest)]
        advantages.append(rewards.view(slot.shape[:2]).t().flatten())
    return slots, torch.cat(advantages)


def doubly_stochastic_loss(attention: Tensor, mask: Tensor) -> Tensor:
    """(1 - sum_t alpha_t)^2 (Xu et al. 2015, equation 14), for each caption that has tokens and each region.

    attention [B, N, T, S], mask [B, N, T] true at targets -> [captions, S]
    """
    total = (attention * mask.unsqueeze(-1)).sum(2)  # [B, N, S]
    return ((1 - total) ** 2)[mask.any(-1)]


def hard_attention_loss(
    output: PackedOutput, token_losses: Tensor, baseline: Tensor, settings: AttentionSettings
) -> Tensor:
    """The loss that trains sampled attention: REINFORCE (Xu et al. 2015, equations 11 to 13).

    The reward of a caption's sampled regions s is its log-probability given them, less its moving average `baseline`,
    which is updated here. Per token: - lambda_r (log p(y|s) - b) log p(s) - lambda_e H(alpha). `token_losses` [W] are
    - log p. The gradient of the tokens given the regions, the first term of equation 11, is the cross-entropy's.
    """
    packed = [
        (slot.region_log_prob[mask], _entropy(slot.attention[mask]))
        for slot, mask in output.slots
        if slot.region_log_prob is not None and slot.attention is not None
    ]
    region_log_probs, attention_entropy = (torch.cat(tensors) for tensors in zip(*packed, strict=True))  # [W] both
    caption: Tensor = torch.unique(output.captions, return_inverse=True)[1]
    rewards = token_losses.new_zeros(int(caption.max()) + 1).index_add(0, caption, -token_losses)
    if not baseline:
        baseline.copy_(rewards.mean())  # starting at 0, it would penalise all samples of the first hundred steps
    advantage = (rewards - baseline)[caption]
    baseline.mul_(BASELINE_DECAY).add_((1 - BASELINE_DECAY) * rewards.mean())
    reinforce = -settings.reinforce_weight * (advantage * region_log_probs).mean()
    return reinforce - settings.entropy_weight * attention_entropy.mean()


def _entropy(weights: Tensor) -> Tensor:
    """Shannon entropy: [..., S] -> [...], in nats."""
    entropies: Tensor = torch.special.entr(weights.float()).sum(-1)
    return entropies
