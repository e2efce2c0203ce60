"""Renamed settings: the old key is refused with the new one, in recipes and run folders, for one version."""

from __future__ import annotations

from typing import Final

RENAMED: Final = {
    "model.encoder.random": "model.encoder.pretrained (and means the opposite)",
    "model.encoder.without": "model.encoder.remove_blocks",
    "model.encoder.options": "model.encoder.timm_kwargs",
    "model.encoder.pixels.crop": "model.encoder.pixels.crop_mode",
    "model.decoder.feed_forward": "model.decoder.ffn_dim",
    "model.decoder.positions": "model.decoder.position_embedding",
    "model.decoder.region_positions": "model.decoder.region_position_embedding",
    "model.decoder.tied": "model.decoder.tie_weights",
    "model.decoder.embedding": "model.decoder.embedding_dim",
    "model.decoder.attention": "model.decoder.attention_dim",
    "model.decoder.initial": "model.decoder.initial_state",
    "model.decoder.doubly_stochastic": "model.decoder.doubly_stochastic_weight",
    "model.decoder.reinforce": "model.decoder.reinforce_weight",
    "model.decoder.entropy": "model.decoder.entropy_weight",
    "text.size": "text.vocab_size",
    "text.max_words": "text.max_length",
    "train.accumulate": "train.accumulate_grad_batches",
    "train.encoder_decay": "train.layer_decay",
    "train.encoder_stages": "train.trainable_encoder_stages",
    "train.encoder_from_epoch": "train.unfreeze_encoder_at_epoch",
    "train.warmup": "train.warmup_ratio",
    "train.decay": "train.lr_factor",
    "train.patience": "train.plateau_patience",
    "train.plateau_from": "train.plateau_start_epoch",
    "train.stop_after": "train.early_stopping_patience",
    "train.clip": "train.max_grad_norm",
    "train.average": "train.ema_decay",
    "train.average_epochs": "train.average_checkpoints",
    "train.rand_augment": "train.randaugment_num_ops",
    "train.rand_magnitude": "train.randaugment_magnitude",
    "train.self_critical.from_epoch": "train.self_critical.start_epoch",
    "train.self_critical.samples": "train.self_critical.num_samples",
    "decode.beam": "decode.beam_size",
    "decode.length_exponent": "decode.length_penalty",
    "decode.no_repeat_ngram": "decode.no_repeat_ngram_size",
    "decode.groups": "decode.num_beam_groups",
    "decode.diversity": "decode.diversity_penalty",
}


def new_name(key: str) -> str | None:
    """The present name of a dotted key, or None for a key that was not renamed."""
    return RENAMED.get(key)
