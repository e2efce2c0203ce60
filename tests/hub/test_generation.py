"""Generation settings, against what `generate` itself does with them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

from showtell.errors import BadConfig
from showtell.hub.generation import decode_settings, read_generation

VOCABULARY = 40


def read(folder: Path, generation: dict[str, Any] | None, config: dict[str, Any] | None = None) -> Any:
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return read_generation(folder, config or {})


@pytest.fixture(scope="module")
def language_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    settings = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, **settings)).eval()


def generate(model: GPT2LMHeadModel, folder: Path, prompt: list[int], end_at: int | None = None) -> list[int]:
    """What the model generates after the prompt with the settings in `folder`. It likes the end best once `end_at`
    tokens have been generated, or as soon as `generate` allows it, and before that any other token."""
    model.generation_config = type(model.generation_config).from_pretrained(folder)

    def prefer(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wanted = end_at is None or ids.shape[1] - len(prompt) >= end_at
        scores[:, 1] = 100.0 if wanted and torch.isfinite(scores[0, 1]) else -100.0
        return scores

    out = model.generate(torch.tensor([prompt]), logits_processor=[prefer], pad_token_id=1)
    return [int(i) for i in out[0, len(prompt) :]]


@pytest.mark.parametrize("prompt", [[0], [0, 5, 6]])
@pytest.mark.parametrize(
    "lengths",
    [
        {},
        {"max_length": 9},
        {"max_length": 20},
        {"max_new_tokens": 7},
        {"max_length": 5, "max_new_tokens": 7},
        {"min_length": 6},
        {"min_length": 2},
        {"min_new_tokens": 4},
        {"min_length": 9, "min_new_tokens": 4},
        {"max_length": 30, "min_length": 12},
    ],
)
def test_lengths_are_those_of_generate(
    lengths: dict[str, int], prompt: list[int], language_model: GPT2LMHeadModel, tmp_path: Path
) -> None:
    generation = {"bos_token_id": 0, "eos_token_id": 1, "do_sample": False, **lengths}
    settings, notes = decode_settings(read(tmp_path, generation), len(prompt))
    assert settings.truncate and notes == []
    longest = generate(language_model, tmp_path, prompt, end_at=1000)
    assert len(longest) == settings.max_length and 1 not in longest
    shortest = generate(language_model, tmp_path, prompt)
    assert shortest.index(1) == settings.min_length


def test_defaults_are_those_of_generate(tmp_path: Path) -> None:
    settings, notes = decode_settings(read(tmp_path, {"eos_token_id": 1}), 1)
    assert settings.model_dump() == {
        "beam_size": 1,
        "length_penalty": 1.0,
        "min_length": 0,
        "max_length": 20,
        "truncate": True,
        "early_stopping": "never",
        "no_repeat_ngram_size": 0,
        "bad_endings": (),
        "num_beam_groups": 1,
        "diversity_penalty": 0.5,
        "rerank_weight": 3.0,
    }
    assert notes == []


def test_search_settings(tmp_path: Path) -> None:
    generation = {"num_beams": 4, "length_penalty": 0.6, "no_repeat_ngram_size": 3, "max_length": 16}
    settings, notes = decode_settings(read(tmp_path, {**generation, "early_stopping": "never"}), 1)
    assert (settings.beam_size, settings.length_penalty, settings.no_repeat_ngram_size) == (4, 0.6, 3)
    assert settings.max_length == 15 and notes == []


def test_settings_in_the_models_configuration(tmp_path: Path) -> None:
    """As models of 2021 have them: in config.json, or in its decoder's section; the file wins over both."""
    config = {
        "model_type": "vision-encoder-decoder",
        "decoder_start_token_id": 7,
        "max_length": 16,
        "decoder": {"model_type": "gpt2", "eos_token_id": 9, "bos_token_id": 8, "num_beams": 4, "max_length": 11},
    }
    generation = read(tmp_path, None, config)
    settings, _ = decode_settings(generation, 1)
    assert (settings.max_length, settings.beam_size, generation.start_id, generation.eos_ids) == (15, 4, 7, (9,))
    generation = read(tmp_path, {"bos_token_id": 3, "eos_token_id": [4, 5]}, config)
    settings, _ = decode_settings(generation, 1)
    assert (settings.max_length, settings.beam_size, generation.start_id, generation.eos_ids) == (20, 1, 3, (4, 5))
    assert "decoder" in config  # not changed


def test_the_start_token_is_that_of_generate(tmp_path: Path) -> None:
    vision = ViTConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
    )
    text = GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=1, n_head=2, n_positions=32, bos_token_id=6)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    model = VisionEncoderDecoderModel(config=config).eval()
    for ids in ({"decoder_start_token_id": 5, "bos_token_id": 3}, {"bos_token_id": 3}):
        model.generation_config = type(model.generation_config)(eos_token_id=1, pad_token_id=1, **ids)
        model.generation_config.save_pretrained(tmp_path)
        generated = model.generate(torch.zeros(1, 3, 32, 32), max_new_tokens=2)
        assert read_generation(tmp_path, {}).start_id == generated[0, 0]


def test_single_tokens_are_banned(language_model: GPT2LMHeadModel, tmp_path: Path) -> None:
    """The tokens that the model likes best are banned one after the other, until it generates none of them."""
    every = range(2, VOCABULARY)
    for key, value in [("suppress_tokens", list(every[:-1])), ("bad_words_ids", [[i] for i in every[:-1]] + [[1]])]:
        generation = {"bos_token_id": 0, "eos_token_id": 1, "max_new_tokens": 6, "do_sample": False, key: value}
        found = read(tmp_path, generation)
        assert set(found.banned_ids) == set(every[:-1]) and found.notes == ()
        generated = generate(language_model, tmp_path, [0], end_at=3)
        assert not set(generated) & set(found.banned_ids) and 1 in generated


@pytest.mark.parametrize(
    ("generation", "note"),
    [
        ({"do_sample": True}, "do_sample True is not followed"),
        ({"repetition_penalty": 1.2}, "repetition_penalty 1.2"),
        ({"forced_eos_token_id": 2}, "forced_eos_token_id 2"),
        ({"begin_suppress_tokens": [3]}, "begin_suppress_tokens"),
        ({"bad_words_ids": [[1, 2], [3]]}, "bad_words_ids: 1 of several"),
        ({"num_beams": 3, "early_stopping": True}, "early_stopping"),
        ({"length_penalty": -1.0, "num_beams": 2}, "length_penalty -1"),
        ({"num_beams": 100}, "64 are used"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}, "plain beam search"),
        ({"max_length": 5, "min_length": 9}, "min_length"),
    ],
)
def test_what_is_not_followed_is_noted(generation: dict[str, Any], note: str, tmp_path: Path) -> None:
    _, notes = decode_settings(read(tmp_path, generation), 1)
    assert len(notes) == 1 and note in notes[0]


def test_settings_that_change_nothing_are_not_noted(tmp_path: Path) -> None:
    neutral = {"do_sample": False, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.0, "use_cache": True}
    assert decode_settings(read(tmp_path, {**neutral, "guidance_scale": 1.0, "early_stopping": False}), 1)[1] == []


def test_a_prompt_that_leaves_no_room(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="max_length of 5 tokens and 6 before"):
        decode_settings(read(tmp_path, {"max_length": 5}), 6)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(BadConfig, match=r"generation_config\.json: cannot be read") as error:
        read_generation(tmp_path, {})
    assert "\n" not in str(error.value)
