"""What a mapping makes of old, unusual and wrong checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.hub import tiny_captioners as tiny
from torch import Tensor

from showtell.errors import BadConfig, BadWeights
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families import Mapped, family_of


def map_folder(folder: Path, image_size: int | None = None) -> Mapped:
    checkpoint = Checkpoint(folder)
    return family_of(checkpoint.config).map_model(checkpoint, image_size)


def edit_config(folder: Path, path: str, value: object) -> None:
    """`path`: names with dots between them."""
    config = json.loads((folder / "config.json").read_text())
    *parents, name = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[name] = value
    (folder / "config.json").write_text(json.dumps(config))


def edit_tensors(folder: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, dict[str, Tensor]]]:
    """config.json and tensors of each model; a test writes them where it likes and spoils them there."""
    torch.manual_seed(0)
    models = {
        "blip": tiny.blip(),
        "git": tiny.git(),
        "vit gpt2": tiny.encoder_decoder("vit", "gpt2"),
        "deit bert": tiny.encoder_decoder("deit", "bert"),
        "swin trocr": tiny.encoder_decoder("swin", "trocr"),
        "beit roberta": tiny.encoder_decoder("beit", "roberta"),
        "dinov2 trocr": tiny.encoder_decoder("dinov2", "trocr"),
    }
    found = {}
    for name, model in models.items():
        folder = tiny.saved(tiny.randomise(model), tmp_path_factory.mktemp("saved"))
        found[name] = ((folder / "config.json").read_text(), load_file(folder / "model.safetensors"))
    return found


@pytest.fixture
def folder_of(saved: dict[str, tuple[Any, dict[str, Tensor]]], tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        config, tensors = saved[name]
        (tmp_path / "config.json").write_text(config)
        save_file(tensors, tmp_path / "model.safetensors")
        return tmp_path

    return write


Folders = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("blip", "model_type", "blip-2", "model_type is 'blip-2'.*expected one of blip, vision-encoder-decoder, git"),
        ("blip", "architectures", ["BlipForQuestionAnswering"], "expected BlipForConditionalGeneration"),
        ("blip", "vision_config.hidden_act", "mish", "encoder.hidden_act is 'mish'"),
        ("blip", "vision_config.image_size", [32, 64], r"image_size is .*32, 64.*expected a square"),
        ("blip", "vision_config.num_attention_heads", 3, "encoder has width 32 and 3 attention heads"),
        ("blip", "text_config.is_decoder", False, "text_config.is_decoder is False"),
        ("blip", "text_config.hidden_size", "many", "no valid configuration of blip"),
        ("git", "num_image_with_embedding", 6, "num_image_with_embedding is 6"),
        ("vit gpt2", "encoder.model_type", "clip_vision_model", "encoder.model_type is 'clip_vision_model'.*dinov2"),
        ("vit gpt2", "decoder.model_type", "opt", "decoder.model_type is 'opt'.*gpt2, bert, roberta, trocr"),
        ("vit gpt2", "encoder", None, "encoder.model_type is None"),
        ("vit gpt2", "encoder.num_channels", 1, "encoder.num_channels is 1"),
        (
            "vit gpt2",
            "decoder.scale_attn_by_inverse_layer_idx",
            True,
            "decoder.scale_attn_by_inverse_layer_idx is True",
        ),
        ("vit gpt2", "decoder.reorder_and_upcast_attn", True, "decoder.reorder_and_upcast_attn is True"),
        ("vit gpt2", "decoder.scale_attn_weights", False, "decoder.scale_attn_weights is False"),
        ("deit bert", "decoder.position_embedding_type", "relative_key", "position_embedding_type is 'relative_key'"),
        ("deit bert", "decoder.is_decoder", False, "decoder.is_decoder is False"),
        ("deit bert", "decoder.add_cross_attention", False, "decoder.add_cross_attention is False"),
        ("swin trocr", "encoder.use_absolute_embeddings", True, "encoder.use_absolute_embeddings is True"),
        ("swin trocr", "encoder.layer_norm_eps", 1e-6, "encoder.layer_norm_eps is 1e-06"),
        ("swin trocr", "encoder.image_size", 24, "grid of 6 x 6 in stage 1.*multiple of its window of 4"),
        ("swin trocr", "encoder.image_size", 33, "no whole patches"),
        ("swin trocr", "decoder.cross_attention_hidden_size", 64, "cross_attention_hidden_size is 64; expected.*32"),
        ("beit roberta", "encoder.hidden_act", "relu", "encoder.hidden_act is 'relu'"),
        ("beit roberta", "decoder.hidden_act", "relu", "decoder.hidden_act is 'relu'"),
    ],
)
def test_what_cannot_be_imported_is_refused_by_name(
    folder_of: Folders, name: str, path: str, value: object, message: str
) -> None:
    folder = folder_of(name)
    edit_config(folder, path, value)
    with pytest.raises(BadConfig, match=message) as raised:
        map_folder(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["blip", "git", "vit gpt2", "beit roberta"])
def test_the_processors_size_is_that_of_the_positions(folder_of: Folders, name: str) -> None:
    folder = folder_of(name)
    assert map_folder(folder, 32).image_size == 32
    with pytest.raises(BadConfig, match="takes images of 32 x 32 pixels, the processor gives 48 x 48"):
        map_folder(folder, 48)


def test_swin_and_dinov2_take_the_processors_size(folder_of: Folders) -> None:
    assert map_folder(folder_of("swin trocr"), 16).model.encoder.timm_kwargs["img_size"] == 16
    assert map_folder(folder_of("dinov2 trocr"), 48).state["encoder.frozen.0.backbone.pos_embed"].shape == (1, 37, 32)


def test_a_tensor_too_many_and_one_too_few_are_named(folder_of: Folders) -> None:
    folder = folder_of("blip")

    def rename(tensors: dict[str, Tensor]) -> None:
        tensors["text_decoder.adapter.weight"] = tensors.pop("text_decoder.bert.embeddings.LayerNorm.weight")

    edit_tensors(folder, rename)
    with pytest.raises(BadWeights) as raised:
        map_folder(folder)
    assert "1 tensor expected and not there, first text_decoder.bert.embeddings.LayerNorm.weight" in str(raised.value)
    assert "1 tensor there and not expected, first text_decoder.adapter.weight" in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("text_config.vocab_size", 62, r"decoder\.\S+ would have shape \(61.*expected \(62"),
        ("text_config.intermediate_size", 65, r"fc1\.weight would have shape \(64, 32\); expected \(65, 32\)"),
        ("vision_config.image_size", 40, r"pos_embed would have shape \(1, 17, 32\); expected \(1, 26, 32\)"),
        ("text_config.num_hidden_layers", 1, "tensors there and not expected, first text_decoder.bert.encoder.layer.1"),
        ("vision_config.num_hidden_layers", 3, "expected and not there, first vision_model.encoder.layers.2"),
    ],
)
def test_tensors_of_another_config_are_refused(folder_of: Folders, path: str, value: int, message: str) -> None:
    folder = folder_of("blip")
    edit_config(folder, path, value)
    with pytest.raises(BadWeights, match=message):
        map_folder(folder)


BUFFERS = {
    "blip": [
        "text_decoder.bert.embeddings.position_ids",
        "vision_model.embeddings.position_ids",
    ],
    "git": ["git.embeddings.position_ids", "git.image_encoder.vision_model.embeddings.position_ids"],
    "vit gpt2": [
        "decoder.transformer.h.0.attn.bias",
        "decoder.transformer.h.0.attn.masked_bias",
        "decoder.transformer.h.1.crossattention.bias",
        "decoder.transformer.h.1.crossattention.masked_bias",
        "enc_to_dec_proj.weight",
        "encoder.embeddings.mask_token",
    ],
    "deit bert": [
        "decoder.bert.embeddings.position_ids",
        "decoder.bert.pooler.dense.weight",
        "decoder.cls.seq_relationship.bias",
    ],
    "swin trocr": [
        "encoder.encoder.layers.0.blocks.1.attention.self.relative_position_index",
        "decoder.model.decoder.embed_positions._float_tensor",
    ],
}


@pytest.mark.parametrize("name", BUFFERS)
def test_what_older_files_have_besides_changes_nothing(folder_of: Folders, name: str) -> None:
    folder = folder_of(name)
    expected = map_folder(folder).state
    edit_tensors(folder, lambda tensors: tensors.update({buffer: torch.zeros(3) for buffer in BUFFERS[name]}))
    state = map_folder(folder).state
    assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_half_precision_is_read_as_float32(folder_of: Folders) -> None:
    folder = folder_of("blip")
    expected = map_folder(folder).state
    edit_tensors(folder, lambda tensors: tensors.update({key: value.half() for key, value in tensors.items()}))
    state = map_folder(folder).state
    assert all(value.dtype == torch.float32 for value in state.values())
    assert all(torch.equal(state[key], value) for key, value in expected.items())  # they are half precision's numbers


OUTPUTS = {
    "blip": (
        "text_decoder.cls.predictions.decoder.weight",
        "text_decoder.bert.embeddings.word_embeddings.weight",
        "text_config.tie_word_embeddings",
    ),
    "git": ("output.weight", "git.embeddings.word_embeddings.weight", "tie_word_embeddings"),
    "vit gpt2": ("decoder.lm_head.weight", "decoder.transformer.wte.weight", "decoder.tie_word_embeddings"),
    "deit bert": (
        "decoder.cls.predictions.decoder.weight",
        "decoder.bert.embeddings.word_embeddings.weight",
        "decoder.tie_word_embeddings",
    ),
    "beit roberta": (
        "decoder.lm_head.decoder.weight",
        "decoder.roberta.embeddings.word_embeddings.weight",
        "decoder.tie_word_embeddings",
    ),
    "swin trocr": (
        "decoder.output_projection.weight",
        "decoder.model.decoder.embed_tokens.weight",
        "decoder.tie_word_embeddings",
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_matrix_is_the_embedding_where_both_agree(folder_of: Folders, name: str) -> None:
    output, embedding, option = OUTPUTS[name]
    folder = folder_of(name)
    edit_config(folder, option, True)
    table = map_folder(folder).state["decoder.token_embedding.weight"]
    for tensors_of, tied in (
        (lambda t: t.update({output: t[embedding].clone()}), True),
        (lambda t: t.update({output: t[embedding] + 1}), False),
        (lambda t: t.pop(output), True),
        (lambda t: t.update({output: t.pop(embedding)}), True),
    ):
        edit_tensors(folder, tensors_of)
        mapped = map_folder(folder)
        assert mapped.model.decoder.tie_weights == tied  # type: ignore[union-attr]
        assert ("decoder.output.weight" in mapped.state) == (not tied)
        assert torch.equal(mapped.state["decoder.token_embedding.weight"], table)


@pytest.mark.parametrize("name", ["git", "vit gpt2", "deit bert"])
def test_untied_weights_need_an_output_matrix(folder_of: Folders, name: str) -> None:
    output, _, option = OUTPUTS[name]
    folder = folder_of(name)
    edit_config(folder, option, False)
    edit_tensors(folder, lambda tensors: tensors.pop(output, None))  # type: ignore[arg-type, return-value]
    with pytest.raises(BadWeights, match=rf"expected and not there, first {output.removesuffix('weight')}"):
        map_folder(folder)


def test_a_bias_under_either_name_is_read(folder_of: Folders) -> None:
    folder = folder_of("deit bert")
    head = "decoder.cls.predictions."
    expected = map_folder(folder).state["decoder.output_bias"]

    def other_name(tensors: dict[str, Tensor]) -> None:
        tensors[f"{head}decoder.bias"] = tensors[f"{head}bias"]
        tensors[f"{head}bias"] = torch.zeros_like(expected)

    edit_tensors(folder, other_name)
    assert torch.equal(map_folder(folder).state["decoder.output_bias"], expected)


def test_code_of_the_repository_is_not_asked_for(folder_of: Folders) -> None:
    folder = folder_of("blip")
    edit_config(folder, "auto_map", {"AutoModel": "evil.py--Model"})
    (folder / "evil.py").write_text("raise AssertionError")
    assert map_folder(folder).vocab_size == tiny.VOCABULARY
