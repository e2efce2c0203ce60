"""The usual Transformer captioner of tutorials: `nn.TransformerDecoder` reads the whole sentence again for every word,
one photo at a time, with beam search in Python."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from showtell.nets.transformer_decoder import TransformerDecoder


class Captioner(nn.Module):
    """With the weights of one of our decoders, so that both write the same captions."""

    def __init__(self, decoder: TransformerDecoder, bos: int, eos: int, banned: Sequence[int]) -> None:
        super().__init__()
        settings = decoder.settings
        layer = nn.TransformerDecoderLayer(
            settings.width,
            settings.heads,
            settings.ffn_dim,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.decoder = nn.TransformerDecoder(layer, settings.layers, nn.LayerNorm(settings.width))
        self.embedding = nn.Embedding.from_pretrained(decoder.token_embedding.weight.detach())
        self.positions = decoder.position_embedding.detach()
        self.output = nn.Linear(settings.width, self.embedding.num_embeddings)
        self.bos, self.eos, self.banned = bos, eos, list(banned)
        self._copy(decoder)
        self.eval()

    def forward(self, tokens: Tensor, regions: Tensor) -> Tensor:
        """[K, T], [K, S, D] -> logits [K, T, V]"""
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        embedded = self.embedding(tokens) + self.positions[:length]
        logits: Tensor = self.output(self.decoder(embedded, regions, tgt_mask=mask, tgt_is_causal=True))
        return logits

    @torch.inference_mode()
    def caption(self, regions: Tensor, beam_size: int, max_length: int, length_penalty: float) -> list[int]:
        """One photo's regions [S, D] -> the ids of the caption. A beam that ends makes the beam narrower."""
        beams = torch.full((1, 1), self.bos)
        sums = torch.zeros(1)
        finished: list[tuple[float, list[int]]] = []
        for step in range(1, max_length + 2):
            logits = self(beams, regions.expand(len(beams), -1, -1))[:, -1]
            log_probs = logits.log_softmax(-1)
            log_probs[:, self.banned] = -torch.inf
            scores = sums[:, None] + log_probs
            width = beam_size - len(finished)
            sums, best = scores.flatten().topk(width)
            parents, tokens = best // scores.shape[1], best % scores.shape[1]
            beams = torch.cat([beams[parents], tokens[:, None]], 1)
            ended = tokens == self.eos
            for row, total in zip(beams[ended].tolist(), sums[ended].tolist(), strict=True):
                finished.append((total / step**length_penalty, row[1:-1]))
            beams, sums = beams[~ended], sums[~ended]
            if not len(beams):
                break
        if not finished:
            return [int(token) for token in beams[0, 1:]]
        return max(finished)[1]

    def _copy(self, decoder: TransformerDecoder) -> None:
        with torch.no_grad():
            self.output.weight.copy_(decoder.token_embedding.weight)
            if decoder.output_bias is not None:
                self.output.bias.copy_(decoder.output_bias)
            for theirs, ours in zip(self.decoder.layers, decoder.layers, strict=True):
                for attention, source in (
                    (theirs.self_attn, ours.self_attention),
                    (theirs.multihead_attn, ours.cross_attention),
                ):
                    parts = source.query, source.key, source.value
                    attention.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
                    attention.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
                    attention.out_proj.load_state_dict(source.output.state_dict())
                theirs.norm1.load_state_dict(ours.self_attention_norm.state_dict())
                theirs.norm2.load_state_dict(ours.cross_attention_norm.state_dict())
                theirs.norm3.load_state_dict(ours.ffn_norm.state_dict())
                theirs.linear1.load_state_dict(ours.fc1.state_dict())
                theirs.linear2.load_state_dict(ours.fc2.state_dict())
            self.decoder.norm.load_state_dict(decoder.norm.state_dict())
