"""An ensemble of teachers: its probabilities beside a loop over words."""

import numpy as np
import torch

from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import AttentionSettings, EncoderSettings, ModelSettings, PixelChoices, TransformerSettings
from showtell.train.batches import Batch
from showtell.train.features import Features
from showtell.train.teachers import Teacher, Teachers

PAD, VOCABULARY = 0, 11
TRANSFORMER = TransformerSettings(width=12, layers=1, heads=3, feed_forward=16)
LSTM = AttentionSettings(width=12, embedding=10, attention=9)
SLOTS = [
    torch.tensor([[[3, 5, 2, 0, 0]], [[3, 6, 7, 8, 2]], [[3, 2, 0, 0, 0]]]),
    torch.tensor([[[3, 9, 9, 10, 7, 6, 2]], [[0] * 7], [[3, 5, 4, 5, 2, 0, 0]]]),
]
BATCH = Batch(np.array([2, 0, 1]), np.array([1, 0, 1]), SLOTS, 17)


def teacher(decoder: TransformerSettings | AttentionSettings, seed: int, size: int) -> Teacher:
    """Of another seed, another kind and another idea of pixels, each."""
    torch.manual_seed(seed)
    encoder = EncoderSettings(name="test_resnet", random=True, pixels=PixelChoices(size=size))
    model = CaptioningModel(ModelSettings(encoder=encoder, decoder=decoder), VOCABULARY, 8, trained_stages=1).eval()
    views = [np.random.default_rng(seed + v).normal(size=(3, *model.encoder.cached_shape)) for v in range(2)]
    return Teacher(model, Features([view.astype(np.float32) for view in views], model.encoder.pixels))


def word_by_word(teacher: Teacher) -> list[torch.Tensor]:
    """Probabilities at each word, one caption at a time."""
    found = []
    for tokens in SLOTS:
        for row, image, view in zip(tokens, BATCH.images, BATCH.views, strict=True):
            features = torch.from_numpy(teacher.features.views[view][image][None])
            memory = teacher.model.decoder.memory(teacher.model.encoder.finish(features))
            state = teacher.model.decoder.start(memory)
            for word, following in zip(row[0, :-1], row[0, 1:], strict=True):
                if following == PAD:
                    break
                logits, state, _ = teacher.model.decoder.step(word.view(1, 1), memory, state)
                found.append(logits[0, 0].softmax(-1))
    return found


def test_the_mean_of_the_probabilities_each_through_its_own_eyes() -> None:
    members = [teacher(TRANSFORMER, 0, 64), teacher(LSTM, 1, 32)]
    with torch.no_grad():
        expected = sum(torch.stack(word_by_word(member)) for member in members) / 2
    found = Teachers(members, PAD).log_probs(BATCH)
    assert not found.requires_grad and len(found) == BATCH.words
    torch.testing.assert_close(found.exp(), expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found.exp(), Teachers(members[:1], PAD).log_probs(BATCH).exp(), atol=1e-3)
