"""The check of an import: ONNX graphs against `generate` of transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from tests.hub import tiny_captioners as tiny
from tokenizers import models, pre_tokenizers

from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.stepper import Floats, Ids, Step
from showtell.errors import ExportMismatch
from showtell.export.graphs import export_graphs, round_to_half
from showtell.export.weights import to_stored
from showtell.hub import parity
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families import Family, Mapped, family_of
from showtell.hub.parity import ImportParity, SearchParity, check
from showtell.hub.reference import generate, load_reference
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import DecodeSettings, ImportedText

SETTINGS = DecodeSettings(
    beam_size=4, length_penalty=1.0, min_length=2, max_length=9, no_repeat_ngram_size=2, truncate=True
)
LARGE = {"vocab_size": 97, "intermediate_size": 96}
"""Sizes with tensors on both sides of what is stored in half precision."""
MODELS: dict[str, Callable[[], Any]] = {
    "blip": lambda: tiny.blip(text=LARGE),
    "git": lambda: tiny.git(**LARGE),
    "vit gpt2": lambda: tiny.encoder_decoder("vit", "gpt2", vocab_size=97),
    "deit bert": lambda: tiny.encoder_decoder("deit", "bert", max_position_embeddings=40),
    "beit roberta": lambda: tiny.encoder_decoder(
        "beit", "roberta", {"use_relative_position_bias": True}, max_position_embeddings=40
    ),
    "swin trocr": lambda: tiny.encoder_decoder(
        "swin", "trocr", use_learned_position_embeddings=False, max_position_embeddings=40
    ),
    "dinov2 gpt2": lambda: tiny.encoder_decoder("dinov2", "gpt2", {"hidden_size": 40}),
}
SIZES = {"dinov2 gpt2": 40}
"""Of the processor, where it is not that of config.json."""


class Imported(NamedTuple):
    reference: Any
    network: CaptioningModel
    tokenizer: ImportedTokenizer
    pixels: Floats
    mapped: Mapped
    checkpoint: Checkpoint
    family: Family
    weights: Path

    def check(self, settings: DecodeSettings = SETTINGS, **changes: Any) -> ImportParity:
        inputs = {"reference": self.reference, "stepper": TorchStepper(self.network), "tokenizer": self.tokenizer}
        inputs |= {"settings": settings, "pixels": self.pixels, "max_positions": self.mapped.max_positions, **changes}
        return check(**inputs)


def tokenizer_of(vocab_size: int, takes_prompt: bool) -> ImportedTokenizer:
    words = ["[PAD]", "[UNK]", "[START]", "[END]", "a", "picture", "of"]
    words += [f"w{i}" for i in range(len(words), vocab_size)]
    backend = tokenizers.Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    text = ImportedText(
        bos_ids=(tiny.START,), eos_id=tiny.END, unk_id=1, banned_ids=(0, 5), takes_prompt=takes_prompt, prompt=""
    )
    return ImportedTokenizer(backend, ["en"], text)


def saved(model: Any, folder: Path) -> Path:
    """With each of the tied tensors, as files of older versions have them."""
    tiny.saved(model, folder)
    tensors = load_file(folder / "model.safetensors")
    twins = {name: tensors[other].clone() for name, other in model.all_tied_weights_keys.items() if other in tensors}
    save_file({**twins, **tensors}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module", params=MODELS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("original")
    model = MODELS[request.param]()
    for parameter in tiny.randomise(model).parameters():
        parameter.data += 1e-4 * torch.randn_like(parameter)  # numbers that half precision does not have
    checkpoint = Checkpoint(saved(model, folder))
    family = family_of(checkpoint.config)
    mapped = family.map_model(checkpoint, SIZES.get(request.param))
    network = CaptioningModel(mapped.model, mapped.vocab_size, mapped.max_positions, load=False).eval()
    network.load_state_dict(mapped.state)
    round_to_half(network)
    weights = folder / "ours.safetensors"
    stored = {name: to_stored(tensor).contiguous() for name, tensor in network.state_dict().items()}
    save_file({**stored, "encoder.onnx/constant": torch.zeros(3, dtype=torch.float16)}, weights)  # as exports have them
    return Imported(
        load_reference(checkpoint, family, mapped, weights),
        network,
        tokenizer_of(mapped.vocab_size, family.takes_prompt),
        tiny.pixels(mapped.image_size, count=8).numpy(),
        mapped,
        checkpoint,
        family,
        weights,
    )


def test_searches_write_what_transformers_writes(imported: Imported) -> None:
    found = imported.check()
    assert [(row.beam_size, row.prompt) for row in found.searches] == [
        *((beam, "") for beam in (1, 3, 4, 5)),
        *((beam, "a picture of") for beam in (1, 4) if imported.family.takes_prompt),
    ]
    for row in found.searches:
        assert row.same + row.ties == found.images == 8
        assert row.ties <= 1
    assert 0 < found.largest <= found.allowed < 1e-2


@pytest.mark.parametrize(
    "changes",
    [
        {"length_penalty": 0.0, "no_repeat_ngram_size": 0, "min_length": 0},
        {"length_penalty": 2.0, "no_repeat_ngram_size": 3, "beam_size": 2, "max_length": 4, "min_length": 4},
        {"max_length": 1, "min_length": 1, "no_repeat_ngram_size": 0},
    ],
)
def test_other_settings_are_those_of_generate(imported: Imported, changes: dict[str, Any]) -> None:
    found = imported.check(SETTINGS.model_copy(update=changes))
    assert sum(row.ties for row in found.searches) <= 1
    assert {row.beam_size for row in found.searches} >= {1, 3, 5}


def test_captions_are_worth_comparing(imported: Imported) -> None:
    """Not all the same, and of different lengths."""
    ids = imported.tokenizer.prompt_ids("en")
    rows = generate(imported.reference, torch.from_numpy(imported.pixels), ids, SETTINGS, tiny.END, (0, 5))
    assert len({tuple(row) for row in rows}) > 1
    assert all(2 <= len(row) <= 9 and tiny.END not in row for row in rows)


@pytest.mark.parametrize("imported", ["blip", "vit gpt2"], indirect=True)
def test_another_number_in_one_weight_is_found(imported: Imported) -> None:
    network = copy.deepcopy(imported.network)
    network.decoder.layers[1].fc1.bias.data[0] += 0.01  # type: ignore[index, union-attr]
    with pytest.raises(ExportMismatch, match=r"sample image 0 .*log-probabilities differ by .*expected at") as raised:
        imported.check(stepper=TorchStepper(network))
    assert "\n" not in str(raised.value)


def test_the_checkpoints_own_numbers_are_too_far_away(imported: Imported, tmp_path: Path) -> None:
    """So the bound is narrow, and the rounded reference is needed."""
    save_file(imported.mapped.state, tmp_path / "single.safetensors")
    exact = load_reference(imported.checkpoint, imported.family, imported.mapped, tmp_path / "single.safetensors")
    with pytest.raises(ExportMismatch, match="log-probabilities differ"):
        imported.check(reference=exact)


@pytest.mark.parametrize("imported", ["git"], indirect=True)
def test_another_search_is_found(imported: Imported, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_other(*inputs: Any, **options: Any) -> Any:
        *first, settings = inputs
        return parity_decode(*first, settings.model_copy(update={"no_repeat_ngram_size": 1}), **options)

    parity_decode = parity.decode
    monkeypatch.setattr(parity, "decode", decode_other)
    monkeypatch.setattr(parity, "TRIES", 3)
    with pytest.raises(ExportMismatch, match=r"sample image \d, .*search.*: captions part at token") as raised:
        imported.check(SETTINGS.model_copy(update={"no_repeat_ngram_size": 0, "max_length": 20}))
    assert "\n" not in str(raised.value)


class Scripted:
    """Two tokens after the start, with almost the same probability, then the end."""

    def __init__(self, gap: float) -> None:
        self.gap = gap

    def encode(self, pixels: Any) -> int:
        return len(pixels)

    def init_state(self, memory: int) -> int:
        return 0

    def reorder(self, state: int, images: Ids, beams: Ids) -> int:
        return state

    def step(self, tokens: Ids, state: int) -> Step:
        log_probs = np.full((*tokens.shape, 10), -20, np.float32)
        if state == 0:
            log_probs[..., 6], log_probs[..., 7] = -0.7, -0.7 - self.gap
        else:
            log_probs[..., tiny.END] = -0.1
        return Step(log_probs, state + 1, None)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_only_what_rounding_can_decide_is_a_tie(beam_size: int) -> None:
    settings = SETTINGS.model_copy(update={"beam_size": beam_size, "min_length": 0})
    run = parity._Run(None, [tiny.START], settings, theirs=[[7]], ours=[[6]])
    tokenizer, pixels = tokenizer_of(10, False), np.zeros((1, 3, 8, 8), np.float32)
    found = parity._compare_captions(Scripted(1e-5), tokenizer, pixels, run, 2e-5)
    assert (found.same, found.ties) == (0, 1)
    with pytest.raises(ExportMismatch, match=r"part at token 0: transformers writes '.START. w7', showtell '"):
        parity._compare_captions(Scripted(1e-4), tokenizer, pixels, run, 2e-5)
    for other in ([7, 7], [], [8]):  # what no change within the bound makes our search write
        with pytest.raises(ExportMismatch, match="captions part"):
            parity._compare_captions(
                Scripted(1e-5), tokenizer, pixels, parity._Run(None, [2], settings, [other], [[6]]), 2e-5
            )


def test_onnx_graphs_are_what_is_checked(tmp_path: Path) -> None:
    """As an import does it, with the weights' file that the export writes."""
    torch.manual_seed(0)
    (tmp_path / "original").mkdir()
    model = tiny.randomise(tiny.git())
    for parameter in model.parameters():
        parameter.data += 1e-4 * torch.randn_like(parameter)
    checkpoint = Checkpoint(tiny.saved(model, tmp_path / "original"))
    family = family_of(checkpoint.config)
    mapped = family.map_model(checkpoint, None)
    network = CaptioningModel(mapped.model, mapped.vocab_size, mapped.max_positions, load=False)
    network.load_state_dict(mapped.state)
    round_to_half(network)
    export_graphs(network, mapped.image_size, tmp_path)
    found = check(
        load_reference(checkpoint, family, mapped, tmp_path / "model.safetensors"),
        OnnxStepper(tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"),
        tokenizer_of(mapped.vocab_size, True),
        SETTINGS,
        tiny.pixels(mapped.image_size, count=8).numpy(),
        mapped.max_positions,
    )
    assert [row.same + row.ties for row in found.searches] == [8] * 6
    assert 0 < found.largest <= found.allowed < 1e-2


def test_a_table_for_the_model_card() -> None:
    found = ImportParity(8, 2e-6, 3e-5, (SearchParity(1, "", 8, 0), SearchParity(5, "a photo of", 7, 1)))
    assert found.table().splitlines() == [
        "| search | same tokens as `generate` |",
        "| --- | --- |",
        "| greedy search | 8 of 8 |",
        "| beam search, 5 beams, prompt “a photo of” | 7 of 8, 1 tied |",
    ]
    assert str(found) == (
        "the same as transformers on 15 of 16 sample captions, 1 tied (log-probabilities within 2.0e-06; "
        "allowed 3.0e-05)"
    )
