"""The mappings of all families, in float64 against transformers' models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.hub import tiny_captioners as tiny
from torch import Tensor
from transformers.models.trocr.modeling_trocr import TrOCRSinusoidalPositionalEmbedding

from showtell.hub.checkpoint import Checkpoint
from showtell.hub.families import Mapped, family_of
from showtell.hub.families.vision_transformers import exact_ratio
from showtell.nets.captioning_model import CaptioningModel

WIDE = {"hidden_size": 40, "num_attention_heads": 5, "intermediate_size": 67, "num_hidden_layers": 3}
CASES: dict[str, Callable[[], Any]] = {
    "blip": tiny.blip,
    "blip wide eye": lambda: tiny.blip(vision={**WIDE, "image_size": 30, "patch_size": 6, "layer_norm_eps": 1e-3}),
    "blip wide mouth": lambda: tiny.blip(text={**WIDE, "vocab_size": 47, "layer_norm_eps": 1e-2, "hidden_act": "relu"}),
    "blip untied": lambda: tiny.blip(text={"tie_word_embeddings": False}, tie_word_embeddings=False),
    "blip quick gelu, rest of pixels": lambda: tiny.blip(
        vision={"hidden_act": "quick_gelu", "image_size": 33}, text={"hidden_act": "gelu_new"}
    ),
    "git": tiny.git,
    "git wide eye": lambda: tiny.git(vision={**WIDE, "image_size": 30, "patch_size": 6, "layer_norm_eps": 1e-2}),
    "git wide mouth": lambda: tiny.git(**WIDE, vocab_size=47, layer_norm_eps=1e-3, hidden_act="silu"),
    "git tied": lambda: tiny.git(tie_word_embeddings=True, vision={"hidden_act": "gelu"}),
    "vit gpt2": lambda: tiny.encoder_decoder("vit", "gpt2"),
    "vit wide gpt2": lambda: tiny.encoder_decoder("vit", "gpt2", WIDE, layer_norm_epsilon=1e-3, n_inner=50),
    "vit without qkv bias": lambda: tiny.encoder_decoder("vit", "gpt2", {"qkv_bias": False, "layer_norm_eps": 1e-2}),
    "vit gpt2 untied relu": lambda: tiny.encoder_decoder(
        "vit", "gpt2", {"hidden_act": "gelu_new"}, tie_word_embeddings=False, activation_function="relu"
    ),
    "vit square lists": lambda: tiny.encoder_decoder("vit", "gpt2", {"image_size": [30, 30], "patch_size": [6, 6]}),
    "deit bert": lambda: tiny.encoder_decoder("deit", "bert"),
    "deit wide bert untied": lambda: tiny.encoder_decoder(
        "deit", "bert", WIDE, tie_word_embeddings=False, layer_norm_eps=1e-3, type_vocab_size=1, hidden_act="gelu_new"
    ),
    "beit roberta": lambda: tiny.encoder_decoder("beit", "roberta", {"use_relative_position_bias": True}),
    "beit with absolute positions and a last norm": lambda: tiny.encoder_decoder(
        "beit", "bert", {**WIDE, "use_absolute_position_embeddings": True, "use_mean_pooling": False}
    ),
    "beit without layer scale": lambda: tiny.encoder_decoder(
        "beit", "gpt2", {"layer_scale_init_value": 0.0, "use_relative_position_bias": True, "image_size": 24}
    ),
    "beit shared biases": lambda: tiny.encoder_decoder("beit", "gpt2", {"use_shared_relative_position_bias": True}),
    "beit own and shared biases": lambda: tiny.encoder_decoder(
        "beit",
        "gpt2",
        {"use_shared_relative_position_bias": True, "use_relative_position_bias": True, "use_mask_token": True},
    ),
    "vit roberta untied, padded later": lambda: tiny.encoder_decoder(
        "vit", "roberta", tie_word_embeddings=False, pad_token_id=5, layer_norm_eps=1e-3
    ),
    "swin trocr": lambda: tiny.encoder_decoder("swin", "trocr", cross_attention_hidden_size=32),
    "swin projected bert": lambda: tiny.encoder_decoder(
        "swin", "bert", {"embed_dim": 8, "depths": [2, 1, 2], "num_heads": [1, 2, 4], "mlp_ratio": 3.3}
    ),
    "swin without qkv bias": lambda: tiny.encoder_decoder("swin", "gpt2", {"qkv_bias": False, "image_size": 16}),
    "swin odd windows": lambda: tiny.encoder_decoder(
        "swin", "gpt2", {"image_size": 24, "window_size": 3, "depths": [2, 2, 2], "num_heads": [1, 4, 2]}
    ),
    "vit trocr": lambda: tiny.encoder_decoder("vit", "trocr", {"hidden_size": 48}, scale_embedding=True),
    "vit trocr takes the encoder's width": lambda: tiny.encoder_decoder(
        "vit", "trocr", {"hidden_size": 48}, cross_attention_hidden_size=48, tie_word_embeddings=False
    ),
    "deit trocr of sinusoids": lambda: tiny.encoder_decoder(
        "deit", "trocr", use_learned_position_embeddings=False, layernorm_embedding=False, activation_function="relu"
    ),
    "dinov2 gpt2": lambda: tiny.encoder_decoder("dinov2", "gpt2"),
    "dinov2 wide bert": lambda: tiny.encoder_decoder(
        "dinov2", "bert", {"hidden_size": 40, "num_attention_heads": 5, "mlp_ratio": 3, "qkv_bias": False}
    ),
    "dinov2 swiglu": lambda: tiny.encoder_decoder("dinov2", "gpt2", {"use_swiglu_ffn": True, "mlp_ratio": 4}),
    "dinov2 without mask token": lambda: tiny.encoder_decoder("dinov2", "gpt2", {"use_mask_token": False}),
}


def reference_of(folder: Path, mapped: Mapped) -> Any:
    """transformers' model in float64."""
    name = family_of(Checkpoint(folder).config).model_class
    model = getattr(transformers, name).from_pretrained(folder, dtype=torch.float64)
    if name == "GitForCausalLM":
        model.config.vision_config._attn_implementation = "sdpa"  # its eager attention is in float32
    positions = [m for m in model.modules() if isinstance(m, TrOCRSinusoidalPositionalEmbedding)]
    for module in positions:  # transformers 5.24 leaves them without numbers
        config = model.config.decoder
        count = config.max_position_embeddings + config.pad_token_id + 1
        module.weights = module.get_embedding(count, config.d_model, config.pad_token_id).double()
    return model.eval()


def ours_of(mapped: Mapped) -> CaptioningModel:
    model = CaptioningModel(mapped.model, mapped.vocab_size, mapped.max_positions, load=False)
    model.load_state_dict(mapped.state)
    return model.double().eval()


def reference_outputs(reference: Any, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states of the encoder [B, S, C] and log-probabilities [B, T, V]."""
    if reference.config.model_type == "vision-encoder-decoder":
        output = reference(pixel_values=pixels, decoder_input_ids=tokens)
        return output.encoder_last_hidden_state, output.logits.log_softmax(-1)
    if reference.config.model_type == "git":
        regions = reference.git.image_encoder(pixels).last_hidden_state
        logits = reference(pixel_values=pixels, input_ids=tokens).logits
        return regions, logits[:, regions.shape[1] :].log_softmax(-1)
    regions = reference.vision_model(pixels).last_hidden_state
    logits = reference.text_decoder(input_ids=tokens, encoder_hidden_states=regions).logits
    return regions, logits.log_softmax(-1)


def our_outputs(model: CaptioningModel, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference_outputs`, and the log-probabilities again step by step."""
    regions = model.encoder(pixels)
    normed = model.decoder.region_projection[0](regions) if model.decoder.settings.input_norm else regions
    memory = model.decoder.encode_memory(regions)
    at_once = model.decoder.logits(model.decoder(tokens.unsqueeze(1), memory).hidden[:, 0])
    state, steps = model.decoder.init_state(memory), []
    for t in range(tokens.shape[1]):
        step = model.decoder.decode_step(tokens[:, t : t + 1], memory, state)
        state = step.state
        steps.append(model.decoder.logits(step.hidden[:, 0]))
    return normed, at_once.log_softmax(-1), torch.stack(steps, 1).log_softmax(-1)


def assert_same_outputs(folder: Path, mapped: Mapped, size: int, bound: float = 1e-10) -> None:
    tokens = torch.randint(6, mapped.vocab_size, (2, mapped.max_positions), generator=torch.Generator().manual_seed(2))
    images = tiny.pixels(size).double()
    with torch.no_grad():
        regions, log_probs = reference_outputs(reference_of(folder, mapped), images, tokens)
        our_regions, at_once, by_step = our_outputs(ours_of(mapped), images, tokens)
    assert our_regions.shape == regions.shape
    assert (our_regions - regions).abs().max() < bound * regions.abs().max()
    assert log_probs.std() > 0.1, "log-probabilities that say nothing"
    assert (at_once - log_probs).abs().max() < bound * log_probs.abs().max()
    assert (by_step - log_probs).abs().max() < bound * log_probs.abs().max()


@pytest.mark.parametrize(
    ("encoder", "trained", "processor"), [("dinov2", 40, 24), ("dinov2", 24, 52), ("swin", 16, 32), ("swin", 32, 16)]
)
def test_encoders_of_any_size_are_built_for_the_processors(
    encoder: str, trained: int, processor: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = tiny.randomise(tiny.encoder_decoder(encoder, "gpt2", {"image_size": trained}))
    checkpoint = Checkpoint(tiny.saved(model, tmp_path))
    mapped = family_of(checkpoint.config).map_model(checkpoint, processor)
    assert mapped.image_size == processor
    assert_same_outputs(tmp_path, mapped, processor)


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_and_log_probabilities_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny.randomise(CASES[case]())
    checkpoint = Checkpoint(tiny.saved(model, tmp_path))
    mapped = family_of(checkpoint.config).map_model(checkpoint, None)
    assert_same_outputs(tmp_path, mapped, mapped.image_size)


def test_mlp_ratios_give_the_exact_width() -> None:
    """timm computes `int(width * mlp_ratio)`; for some widths the quotient loses one."""
    sizes = [(width, intermediate) for width in range(8, 200) for intermediate in range(width, 6 * width, 7)]
    assert any(int(width * (intermediate / width)) != intermediate for width, intermediate in sizes)
    assert all(int(width * exact_ratio(intermediate, width)) == intermediate for width, intermediate in sizes)
