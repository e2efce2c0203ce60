"""Every kind of decoder, small enough for a test."""

from __future__ import annotations

from showtell.settings import (
    AttentionSettings,
    DecoderSettings,
    PrefixTransformerSettings,
    RecurrentSettings,
    TransformerSettings,
)


def recurrent(cell: str, image: str, **more: object) -> RecurrentSettings:
    return RecurrentSettings(cell=cell, image=image, width=12, embedding_dim=10, **more)


def attention(cell: str, **more: object) -> AttentionSettings:
    return AttentionSettings(cell=cell, width=12, embedding_dim=10, attention_dim=9, **more)


def transformer(**more: object) -> TransformerSettings:
    return TransformerSettings(width=12, heads=3, ffn_dim=16, **more)


def prefix_transformer(**more: object) -> PrefixTransformerSettings:
    return PrefixTransformerSettings(width=12, heads=3, ffn_dim=16, **more)


DECODERS: dict[str, DecoderSettings] = {
    **{f"{cell}, image first": recurrent(cell, "first_input", layers=2, head=(11, 8)) for cell in ("rnn", "gru")},
    "lstm, image first": recurrent("lstm", "first_input", layers=2, dropout=0.2, embedding_dropout=0.1),
    **{f"{cell}, image as state": recurrent(cell, "initial_state", biases=1) for cell in ("rnn", "lstm")},
    "gru, image as state": recurrent("gru", "initial_state", layers=2),
    **{f"{cell}, attention": attention(cell) for cell in ("rnn", "lstm", "gru")},
    "lstm, tanh attention": attention("lstm", layers=2, energy="tanh", gate=False, initial_state="zeros"),
    "lstm, hard attention": attention("lstm", hard=True),
    "transformer, pre-norm": transformer(),
    "transformer, pre-norm, encoder": transformer(encoder_layers=2, layers=1),
    "transformer, post-norm": transformer(
        norm="post",
        activation="relu",
        position_embedding="sinusoidal",
        region_position_embedding="none",
        input_norm=False,
        final_norm=False,
        tie_weights=False,
    ),
    "transformer, post-norm, encoder": transformer(
        norm="post",
        encoder_layers=1,
        position_embedding="sinusoidal",
        region_position_embedding="sinusoidal",
        tie_weights=False,
    ),
    "transformer, no projection": transformer(
        norm="post",
        activation="gelu_tanh",
        region_position_embedding="none",
        input_norm=False,
        region_projection=False,
        encoder_norm=False,
        final_norm=False,
        embedding_norm=True,
        max_positions=40,
        output_transform=True,
        output_bias=False,
    ),
    "prefix transformer, pre-norm": prefix_transformer(position_embedding="sinusoidal", activation="quick_gelu"),
    "prefix transformer, post-norm": prefix_transformer(
        norm="post",
        region_position_embedding="none",
        input_norm=False,
        projection_norm=True,
        projection_norm_eps=1e-3,
        final_norm=False,
        embedding_norm=True,
        tie_weights=False,
    ),
}
