"""An ensemble of teachers: its probabilities beside a loop over words."""

import numpy as np
import torch
from tests.rounding import assert_rounding

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import AttentionSettings, EncoderSettings, ModelSettings, PixelOverrides, TransformerSettings
from showtell.train.batches import PAD, Batch
from showtell.train.distillation import Teacher, Teachers
from showtell.train.features import Features

VOCABULARY = 11
TRANSFORMER = TransformerSettings(width=12, layers=1, heads=3, ffn_dim=16)
LSTM = AttentionSettings(width=12, embedding_dim=10, attention_dim=9)
SLOTS = [
    torch.tensor([[[3, 5, 2, PAD, PAD]], [[3, 6, 7, 8, 2]], [[3, 2, PAD, PAD, PAD]]]),
    torch.tensor([[[3, 9, 9, 10, 7, 6, 2]], [[PAD] * 7], [[3, 5, 4, 5, 2, PAD, PAD]]]),
]
BATCH = Batch(np.array([2, 0, 1]), np.array([1, 0, 1]), SLOTS, 17)


def teacher(decoder: TransformerSettings | AttentionSettings, seed: int, size: int) -> Teacher:
    """Of another seed, another kind and another idea of pixels, each."""
    torch.manual_seed(seed)
    encoder = EncoderSettings(name="test_resnet", pretrained=False, pixels=PixelOverrides(size=size))
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=decoder), VOCABULARY, 8, trainable_stages=1).eval()
    views = [np.random.default_rng(seed + v).normal(size=(3, *model.encoder.cached_shape)) for v in range(2)]
    return Teacher(model, Features([view.astype(np.float32) for view in views], model.encoder.pixels))


def word_by_word(teacher: Teacher) -> list[torch.Tensor]:
    """Probabilities at each word, one caption at a time, in the precision of the teacher's network."""
    precision = next(teacher.model.parameters()).dtype
    found = []
    for tokens in SLOTS:
        for row, image, view in zip(tokens, BATCH.images, BATCH.views, strict=True):
            features = torch.from_numpy(teacher.features.views[view][image][None]).to(precision)
            memory = teacher.model.decoder.encode_memory(teacher.model.encoder.forward_trainable(features))
            state = teacher.model.decoder.init_state(memory)
            for word, following in zip(row[0, :-1], row[0, 1:], strict=True):
                if following == PAD:
                    break
                logits, state, _ = teacher.model.decoder.step(word.view(1, 1), memory, state)
                found.append(logits[0, 0].softmax(-1))
    return found


def test_the_mean_of_the_probabilities_each_through_its_own_eyes() -> None:
    members = [teacher(TRANSFORMER, 0, 64), teacher(LSTM, 1, 32)]
    found, of_one = Teachers(members, 1).log_probs(BATCH), Teachers(members[:1], 1).log_probs(BATCH)
    with torch.no_grad():
        other = sum(torch.stack(word_by_word(member)) for member in members) / 2
        for member in members:
            member.model.double()
        exact = sum(torch.stack(word_by_word(member)) for member in members) / 2
    assert not found.requires_grad and len(found) == BATCH.tokens
    assert_rounding(found.exp().numpy(), other.numpy(), exact.numpy())
    assert not torch.allclose(found.exp(), of_one.exp(), atol=1e-3)
