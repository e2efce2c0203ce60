"""Hugging Face's `generate` with the built-in model's decoder.

mBART's decoder (Liu et al. 2020) is the one in transformers with the same layers: pre-norm, learned positions, a norm
at the end, output weights tied to the embedding, an output bias. Its norm on the embeddings is taken out, so that with
the built-in model's weights both sides write the same captions. It is fed the encoder's output, and keeps keys and
values of the words and of the image, as `generate` does by default. Not compiled: `torch.compile` compiles again for
each length of a sentence, and few who call `generate` use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MBartConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from showtell.nets.transformer_decoder import TransformerDecoder

ATTENTION = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
LAYER = {
    "self_attn_layer_norm": "self_attention_norm",
    "encoder_attn_layer_norm": "cross_attention_norm",
    "final_layer_norm": "ffn_norm",
    "fc1": "fc1",
    "fc2": "fc2",
    **{f"self_attn.{theirs}": f"self_attention.{ours}" for theirs, ours in ATTENTION.items()},
    **{f"encoder_attn.{theirs}": f"cross_attention.{ours}" for theirs, ours in ATTENTION.items()},
}


class Generator:
    def __init__(self, decoder: TransformerDecoder, bos: int, eos: int, pad: int, banned: Sequence[int]) -> None:
        self.model = _mbart(decoder, eos, pad)
        self.bos, self.eos, self.banned = bos, eos, list(banned)

    @torch.inference_mode()
    def captions(self, regions: Tensor, settings: Any) -> list[list[int]]:
        """Regions after the decoder's projection, [B, S, D] -> for each image the ids of the best caption."""
        ids = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=regions),
            decoder_start_token_id=self.bos,
            num_beams=settings.beam_size,
            early_stopping="never",
            length_penalty=settings.length_penalty,
            min_new_tokens=settings.min_length,
            max_new_tokens=settings.max_length,
            no_repeat_ngram_size=settings.no_repeat_ngram_size,
            suppress_tokens=self.banned,
            do_sample=False,
        )
        return [[*_until(row, self.eos)] for row in ids[:, 1:].tolist()]


def _until(row: list[int], eos: int) -> list[int]:
    return row[: row.index(eos)] if eos in row else row


def _mbart(decoder: TransformerDecoder, eos: int, pad: int) -> Any:
    settings, vocabulary = decoder.settings, decoder.token_embedding.num_embeddings
    config = MBartConfig(
        vocab_size=vocabulary,
        d_model=settings.width,
        encoder_layers=0,
        decoder_layers=settings.layers,
        decoder_attention_heads=settings.heads,
        decoder_ffn_dim=settings.ffn_dim,
        activation_function=settings.activation,
        max_position_embeddings=decoder.positions,
        scale_embedding=False,
        eos_token_id=eos,
        pad_token_id=pad,
        forced_eos_token_id=None,
    )
    model = MBartForConditionalGeneration(config).eval()
    theirs = model.model.decoder
    theirs.layernorm_embedding = nn.Identity()
    with torch.no_grad():
        model.model.shared.weight.copy_(decoder.token_embedding.weight)
        model.tie_weights()
        model.final_logits_bias.copy_(decoder.output_bias)
        theirs.embed_positions.weight[theirs.embed_positions.offset :].copy_(decoder.position_embedding)
    theirs.layer_norm.load_state_dict(decoder.norm.state_dict())
    for layer, source in zip(theirs.layers, decoder.layers, strict=True):
        for name, ours in LAYER.items():
            layer.get_submodule(name).load_state_dict(source.get_submodule(ours).state_dict())
    return model
