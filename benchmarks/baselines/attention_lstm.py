"""The usual Show, Attend and Tell of tutorials: one photo at a time, its features repeated for every beam and projected
anew at every step, with beam search in Python."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from showtell.nets.attention_decoder import AttentionDecoder


class Captioner(nn.Module):
    """With the weights of one of our decoders of one LSTM layer."""

    def __init__(self, decoder: AttentionDecoder, bos: int, eos: int) -> None:
        super().__init__()
        self.attention = decoder.attention
        self.embedding = decoder.token_embedding
        self.gate = decoder.gate
        self.init_hidden = decoder.state_projections["hidden"]
        self.init_cell = decoder.state_projections["cell"]
        self.cell = _lstm_cell(decoder)
        self.output = decoder.output
        self.bos, self.eos = bos, eos
        self.eval()

    def attend(self, features: Tensor, hidden: Tensor) -> Tensor:
        """[K, S, C], [K, D] -> [K, C]"""
        projected = self.attention.encoder_att(features)  # [K, S, A]
        energies = self.attention.energy(torch.relu(projected + self.attention.decoder_att(hidden).unsqueeze(1)))
        context: Tensor = (features * energies.softmax(1)).sum(1)
        return context

    @torch.inference_mode()
    def caption(self, features: Tensor, beam_size: int, max_length: int) -> list[int]:
        """One photo's features [S, C] -> the ids of the caption, of exactly `max_length` tokens: random weights know no
        end, and both sides shall do the same number of steps."""
        features = features.expand(beam_size, -1, -1)
        sequences = torch.full((beam_size, 1), self.bos)
        sums = torch.zeros(beam_size, 1)
        mean = features.mean(1)
        hidden, cell = self.init_hidden(mean), self.init_cell(mean)
        for step in range(max_length):
            context = torch.sigmoid(self.gate(hidden)) * self.attend(features, hidden)
            hidden, cell = self.cell(torch.cat([self.embedding(sequences[:, -1]), context], 1), (hidden, cell))
            log_probs = self.output(hidden).log_softmax(-1)
            log_probs[:, self.eos] = -torch.inf
            scores = sums + log_probs
            flat = scores[0] if step == 0 else scores.flatten()  # at first all beams are the same
            best_sums, best = flat.topk(beam_size)
            parents, tokens = best // scores.shape[1], best % scores.shape[1]
            sequences = torch.cat([sequences[parents], tokens[:, None]], 1)
            hidden, cell, features, sums = hidden[parents], cell[parents], features[parents], best_sums[:, None]
        return [int(token) for token in sequences[0, 1:]]


def _lstm_cell(decoder: AttentionDecoder) -> nn.LSTMCell:
    (source,) = decoder.recurrence.layers
    cell = nn.LSTMCell(source.input.in_features, source.hidden.in_features)
    with torch.no_grad():
        cell.weight_ih.copy_(source.input.weight)
        cell.bias_ih.copy_(source.input.bias)
        cell.weight_hh.copy_(source.hidden.weight)
        cell.bias_hh.copy_(source.hidden.bias)
    return cell
