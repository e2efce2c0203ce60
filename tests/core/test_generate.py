"""Truncating search against `generate` of Hugging Face's transformers: a tiny network with random weights, the same
tokens from both."""

import itertools
from typing import Any

import numpy as np
import pytest

from showtell.core.decode import decode
from showtell.core.search import Hypothesis
from showtell.core.stepper import Floats, Ids, Step
from showtell.settings import DecodeSettings

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCABULARY, END, START, PAD = 13, 0, 3, 1
IMAGES = 3


def network(seed: int) -> Any:
    """A network sure enough of its next word that rounding decides nothing, and not so sure that all captions agree."""
    torch.manual_seed(seed)
    encoder = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    decoder = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=24,
        initializer_range=0.5,
        tie_word_embeddings=False,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = START, PAD, END
    model = transformers.VisionEncoderDecoderModel(config).eval()
    with torch.no_grad():
        model.decoder.lm_head.weight[END] *= 2  # an end that is often likely, and often not
    return model


class TorchStepper:
    """Reads the whole sentence again at every step: nothing of our caches is under test here."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.no_grad()
    def encode(self, pixels: Any) -> Floats:
        states: Floats = self.model.encoder(pixel_values=pixels).last_hidden_state.numpy()
        return states

    def init_state(self, memory: Floats) -> tuple[Floats, Ids]:
        return memory, np.zeros((len(memory), 1, 0), np.int64)

    @torch.no_grad()
    def step(self, tokens: Ids, state: tuple[Floats, Ids], best: int | None = None) -> Step:
        memory, read = state[0], np.concatenate([state[1], tokens[:, :, None]], 2)
        batch, beams, length = read.shape
        logits = self.model.decoder(
            input_ids=torch.from_numpy(read.reshape(-1, length)),
            encoder_hidden_states=torch.from_numpy(np.repeat(memory, beams, axis=0)),
        ).logits[:, -1]
        log_probs = logits.log_softmax(-1).reshape(batch, beams, VOCABULARY).numpy()
        if best is None:
            return Step(log_probs, (memory, read), None)
        order = np.argsort(-log_probs, 2, "stable")[:, :, :best]
        return Step(np.take_along_axis(log_probs, order, 2), (memory, read), None, order)

    def reorder(self, state: tuple[Floats, Ids], images: Ids, beams: Ids) -> tuple[Floats, Ids]:
        return state[0][images], state[1][images[:, None], beams]


class Text:
    """As much of a tokenizer as the search asks."""

    eos_id = END
    banned_ids: tuple[int, ...] = ()

    def __init__(self, prompt: list[int]) -> None:
        self.prompt = prompt

    def prompt_ids(self, language: str, prompt: str | None = None) -> list[int]:
        return self.prompt


def generated(model: Any, pixels: Any, prompt: list[int], beams: int, options: dict[str, Any]) -> list[list[Any]]:
    """Of each image the captions with their ends, and their scores, best first."""
    settings = dict(num_beams=beams, num_return_sequences=beams, do_sample=False)
    settings |= dict(return_dict_in_generate=True, output_scores=True)
    more = {"early_stopping": "never"} if beams > 1 else {}
    starts = torch.tensor([prompt] * len(pixels))
    found = model.generate(pixel_values=pixels, decoder_input_ids=starts, **settings, **options, **more)
    longest, captions = options["max_new_tokens"], []
    for row in found.sequences[:, len(prompt) :].tolist():
        captions.append(row[: row.index(END) + 1] if END in row else row[:longest])
    scores = found.sequences_scores.tolist() if beams > 1 else [None] * len(captions)
    rows = list(zip(captions, scores, strict=True))
    return [rows[i : i + beams] for i in range(0, len(rows), beams)]


def with_end(hypothesis: Hypothesis) -> list[int]:
    return [*hypothesis.tokens.tolist(), *[END] * (len(hypothesis.log_probs) - len(hypothesis.tokens))]


@pytest.fixture(scope="module")
def networks() -> dict[int, Any]:
    return {seed: network(seed) for seed in range(3)}


CASES = [
    (beams, penalty, ngram, lengths, prompt)
    for k, (beams, penalty, ngram, lengths, prompt) in enumerate(
        itertools.product(
            range(1, 6), (0.0, 0.6, 1.0, 2.0), (0, 2, 3), ((0, 9), (3, 6), (2, 1)), ([START], [START, 5, 7])
        )
    )
    if k % 11 == 0 and (beams > 1 or penalty == 1.0 or ngram)
]


@pytest.mark.parametrize(("beams", "penalty", "ngram", "lengths", "prompt"), CASES)
def test_equals_generate(
    networks: dict[int, Any], beams: int, penalty: float, ngram: int, lengths: tuple[int, int], prompt: list[int]
) -> None:
    shortest, longest = min(lengths), lengths[1]
    options = dict(max_new_tokens=longest, min_new_tokens=shortest, no_repeat_ngram_size=ngram, length_penalty=penalty)
    settings = DecodeSettings(
        beam_size=beams,
        length_penalty=penalty,
        min_length=shortest,
        max_length=longest,
        no_repeat_ngram_size=ngram,
        truncate=True,
    )
    for seed, model in networks.items():
        pixels = torch.randn(IMAGES, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        stepper = TorchStepper(model)
        found = decode(stepper, stepper.encode(pixels), IMAGES, Text(prompt), "en", settings, beams)  # type: ignore[arg-type]
        for hypotheses, expected in zip(found, generated(model, pixels, prompt, beams, options), strict=True):
            assert [with_end(h) for h in hypotheses] == [caption for caption, _ in expected]
            for hypothesis, (caption, score) in zip(hypotheses, expected, strict=True):
                if score is not None:
                    assert hypothesis.log_prob / len(caption) ** penalty == pytest.approx(score, abs=1e-4)


def test_the_cases_truncate_and_end(networks: dict[int, Any]) -> None:
    """Of captions of at most six tokens some end and some do not: each half of the rule is met. Images differ."""
    pixels = torch.randn(IMAGES, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    options = dict(max_new_tokens=6, min_new_tokens=3, length_penalty=1.0)
    rows = [row for model in networks.values() for row in generated(model, pixels, [START], 4, options)]
    ends = [caption[-1] == END for image in rows for caption, _ in image]
    assert len(ends) / 4 < sum(ends) < len(ends) * 3 / 4
    assert len({str(image) for image in rows}) == len(rows)
