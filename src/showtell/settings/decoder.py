"""Settings of the decoders."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from showtell.settings.base import Rate, Settings, Width

Cell = Literal["rnn", "lstm", "gru"]


Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]


class _TransformerBase(Settings):
    """What both kinds of Transformer decoder have."""

    has_position_embeddings: ClassVar[bool] = True
    takes_tags: ClassVar[bool] = True
    width: Width = 384
    layers: int = Field(2, ge=1)
    heads: int = Field(6, ge=1)
    ffn_dim: Width = 1536
    dropout: Rate = 0.1
    norm: Literal["pre", "post"] = Field("pre", description="pre: Xiong et al. 2020; post: Vaswani et al. 2017")
    norm_eps: float = Field(1e-5, gt=0, description="epsilon of every LayerNorm")
    activation: Activation = Field("gelu", description="gelu_tanh: its tanh approximation; quick_gelu: CLIP's")
    position_embedding: Literal["learned", "sinusoidal"] = Field("learned", description="of tokens")
    max_positions: int | None = Field(
        None, ge=2, description="position embeddings of tokens; null: as many as captions need"
    )
    scale_embedding: bool | None = Field(
        None, description="token embeddings times sqrt(width); null: with sinusoidal position embeddings"
    )
    embedding_norm: bool = Field(False, description="LayerNorm on the sum of token and position embeddings (BERT)")
    region_position_embedding: Literal["learned", "sinusoidal", "none"] = "learned"
    input_norm: bool = Field(True, description="LayerNorm on the encoder's features")
    input_norm_eps: float | None = Field(None, gt=0, description="its epsilon, where it is not norm_eps")
    region_projection: bool = Field(True, description="a linear layer from the encoder's features to width")
    projection_norm: bool = Field(False, description="LayerNorm after that layer (GIT)")
    projection_norm_eps: float | None = Field(None, gt=0, description="its epsilon, where it is not norm_eps")
    final_norm: bool = Field(True, description="LayerNorm after the last layer, of encoder and decoder")
    output_transform: bool = Field(False, description="linear layer, activation and LayerNorm before the output (BERT)")
    output_bias: bool = True
    tie_weights: bool = Field(True, description="the token embedding is the output layer too (Press & Wolf 2017)")


class TransformerSettings(_TransformerBase):
    """Transformer decoder, with or without an encoder over the regions (Vaswani et al. 2017)."""

    kind: Literal["transformer"] = "transformer"
    encoder_layers: int = Field(0, ge=0, description="layers of self-attention over the image's regions")
    encoder_norm: bool | None = Field(None, description="LayerNorm on regions after these layers; null: as final_norm")


class PrefixTransformerSettings(_TransformerBase):
    """Transformer without cross-attention: image regions come before the tokens, in the same self-attention, and attend
    to each other only (Wang et al. 2022, GIT)."""

    kind: Literal["prefix_transformer"] = "prefix_transformer"


class RecurrentSettings(Settings):
    """RNN, LSTM or GRU that receives the image once (Vinyals et al. 2015, Show and Tell; Karpathy & Fei-Fei 2015)."""

    has_position_embeddings: ClassVar[bool] = False
    takes_tags: ClassVar[bool] = False
    kind: Literal["recurrent"] = "recurrent"
    cell: Cell = "lstm"
    image: Literal["first_input", "initial_state"] = Field("first_input", description="where the image vector goes")
    head: tuple[Width, ...] = Field((), description="widths of ReLU layers on the image vector")
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding_dim: Width = 512
    dropout: Rate = Field(0.0, description="in the head, between layers and before the output")
    embedding_dropout: Rate = 0.0
    biases: Literal[1, 2] = Field(2, description="of each cell: one, as in the equations, or two, as in torch")


class AttentionSettings(Settings):
    """RNN, LSTM or GRU that attends to the regions at every step (Xu et al. 2015, Show, Attend and Tell)."""

    has_position_embeddings: ClassVar[bool] = False
    takes_tags: ClassVar[bool] = False
    kind: Literal["attention"] = "attention"
    cell: Cell = "lstm"
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding_dim: Width = 512
    attention_dim: Width = 512
    energy: Literal["relu", "tanh"] = Field("relu", description="relu(W_a a + W_h h), or tanh(W [a; h])")
    gate: bool = Field(True, description="a gate on the context (their section 4.2.1, beta)")
    initial_state: Literal["mean", "zeros"] = Field("mean", description="projected mean region, or zeros")
    dropout: Rate = Field(0.5, description="between layers and before the output")
    embedding_dropout: Rate = 0.0
    doubly_stochastic_weight: float = Field(1.0, ge=0, description="weight of Xu et al.'s regulariser (their lambda)")
    hard: bool = Field(False, description="attend to one sampled region per token, trained by REINFORCE (section 4.1)")
    reinforce_weight: float = Field(1.0, ge=0, description="hard: weight of the sampled regions' reward (lambda_r)")
    entropy_weight: float = Field(0.002, ge=0, description="hard: weight of the attention's entropy (lambda_e)")


DecoderSettings = Annotated[
    TransformerSettings | PrefixTransformerSettings | RecurrentSettings | AttentionSettings,
    Field(discriminator="kind"),
]
DECODER_KINDS: dict[str, type[Settings]] = {
    "transformer": TransformerSettings,
    "prefix_transformer": PrefixTransformerSettings,
    "recurrent": RecurrentSettings,
    "attention": AttentionSettings,
}
DEFAULT_KIND = "transformer"
"""The decoder's kind when a recipe does not set it."""
