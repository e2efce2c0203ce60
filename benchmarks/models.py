"""Models that the benchmarks run: the built-in one as a torch network, and bundles with random weights.

The built-in model is inside the package as ONNX graphs only. Their state at RELEASE is where its weights are read and
what today's version is compared with, so that a change of the graphs changes neither.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RELEASE = "7e90dd2"
RENAMED = {
    "encoder.early": "encoder.frozen",
    "encoder.late": "encoder.trainable",
    "words.": "token_embedding.",
    "region_positions": "region_position_embedding",
    "positions": "position_embedding",
    "regions.": "region_projection.",
    "region_norm": "encoder_norm",
    "self_norm": "self_attention_norm",
    "image_norm": "cross_attention_norm",
    "image_attention": "cross_attention",
    "think_norm": "ffn_norm",
    "inner": "fc1",
    "outer": "fc2",
}
"""Parameters of the built-in model, as they were called when it was exported."""


def checkout(commit: str, folder: Path) -> Path:
    """The source tree of a commit below `folder`; returns what a process has to import from."""
    target = folder / commit
    if not target.exists():
        archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(target, filter="data")
    return target / "src"


def builtin_network(source: Path) -> Any:
    """The built-in model of the tree `source` as a CaptioningModel, all its weights those of the ONNX graphs."""
    import torch

    from showtell.nets.captioning_model import CaptioningModel
    from showtell.settings import ModelSettings

    folder = source / "showtell" / "models" / "default"
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))  # of an earlier format
    settings = ModelSettings.model_validate(manifest["model"])
    weights = {**_weights(folder / "encoder.onnx"), **_weights(folder / "decoder.onnx")}
    stages = len({name.split(".")[2] for name in weights if name.startswith("encoder.trainable.")})
    model = CaptioningModel(settings, manifest["vocab_size"], manifest["max_length"], stages, load=False).eval()
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    # Graphs have no counter of batches. The query of cross-attention is in one graph, its key in the other.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        sys.exit(f"{folder}: the graphs lack {missing[:3]} and have {unexpected[:3]} besides")
    return model


def float32_bundle(folder: Path, source: Path) -> Path:
    """The built-in model, whose linear layers are eight-bit ones, with the weights that they were made from."""
    from showtell.core.bundle import builtin, load_bundle, write_bundle
    from showtell.export.graphs import export_graphs

    if not folder.exists():
        manifest = load_bundle(builtin()).manifest
        with tempfile.TemporaryDirectory() as name:
            parts = Path(name)
            export_graphs(builtin_network(source), manifest.pixels.size, parts)
            for file in ("tokenizer.json", "README.md"):
                shutil.copy(builtin() / file, parts)
            write_bundle(folder, manifest.model_dump(exclude={"files", "source", "format"}), parts)
    return folder


def _weights(graph: Path) -> dict[str, np.ndarray[Any, Any]]:
    """By the name of the parameter today. The exporter has transposed the weights of linear layers and given them
    numbers for names; the bias that is added to such a product is called as it was, and so is its weight."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load(str(graph)).graph
    arrays = {i.name: numpy_helper.to_array(i) for i in proto.initializer}
    for node in proto.node:  # large tensors are stored in half precision, followed by a cast
        if node.op_type == "Cast" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays.pop(node.input[0])
    products = {n.output[0]: n.input[1] for n in proto.node if n.op_type == "MatMul" and n.input[1] in arrays}
    found = {}
    for node in proto.node:
        if node.op_type == "Add":
            for product, bias in (node.input, reversed(node.input)):
                if product in products and bias.endswith(".bias"):
                    found[bias.removesuffix("bias") + "weight"] = arrays[products[product]].T
    named = {name: array for name, array in arrays.items() if name.endswith((".weight", ".bias", "_bias", "positions"))}
    named |= {name: array for name, array in arrays.items() if ".running_" in name}
    return {_today(name): array for name, array in {**named, **found}.items()}


def _today(name: str) -> str:
    name = name.removeprefix("model.")
    for old, new in RENAMED.items():
        if old in name:
            name = name.replace(old, new)
            if "position" in old:
                break
    return name


def write_random_bundle(
    folder: Path, model: Any, tokenizer: Any, grid: tuple[int, int], pixels: Any, int8: bool = False, **decode: Any
) -> Path:
    """A bundle of a network with random weights, for times that do not depend on what it writes."""
    from showtell import __version__
    from showtell.core.bundle import write_bundle
    from showtell.export.graphs import export_graphs
    from showtell.export.quantize import quantize
    from showtell.settings import DecodeSettings

    with tempfile.TemporaryDirectory() as name:
        parts = Path(name)
        export_graphs(model.eval(), pixels.size, parts)
        if int8:
            quantize(parts)
        tokenizer.save(parts / "tokenizer.json")
        (parts / "README.md").write_text("Random weights, for benchmarks.", encoding="utf-8")
        manifest = {
            "showtell": __version__,
            "languages": tokenizer.languages,
            "vocab_size": tokenizer.vocab_size,
            "max_length": model.decoder.positions - 1 if hasattr(model.decoder, "positions") else None,
            "grid": grid,
            "pixels": pixels,
            "decode": DecodeSettings(no_repeat_ngram_size=0, **decode),
            "model": {},
        }
        write_bundle(folder, manifest, parts)
    return folder


def timm_bundle(folder: Path, encoder: str, layers: int, length: int) -> Path:
    """A timm encoder and a Transformer decoder of the built-in model's width with that many layers and its vocabulary.
    Every caption has `length` words, in beam search with 5 beams."""
    import torch

    from showtell.core.bundle import builtin, load_bundle
    from showtell.nets.captioning_model import CaptioningModel
    from showtell.settings import ModelSettings

    torch.manual_seed(0)
    tokenizer = load_bundle(builtin()).tokenizer
    settings = ModelSettings.model_validate(
        {"encoder": {"name": encoder, "pretrained": False}, "decoder": {"kind": "transformer", "layers": layers}}
    )
    model = CaptioningModel(settings, tokenizer.vocab_size, 40)
    lengths = {"min_length": length, "max_length": length}
    return write_random_bundle(
        folder, model, tokenizer, model.encoder.grid, model.encoder.pixels, beam_size=5, **lengths
    )


def patch_network(decoder_settings: Any, grid: int, channels: int, vocab_size: int, max_length: int = 60) -> Any:
    """A decoder behind an encoder of one layer, the projection of square patches: for what depends on the decoder
    alone."""
    import torch
    from torch import Tensor, nn

    from showtell.nets.captioning_model import build_decoder
    from showtell.nets.decoder import Sizes

    class PatchNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Conv2d(3, channels, PATCH, PATCH)
            self.decoder = build_decoder(decoder_settings, Sizes(channels, grid * grid, vocab_size, max_length))

        def regions(self, pixels: Tensor) -> Tensor:
            """[B, 3, H, W] -> [B, S, C]"""
            return self.encoder(pixels).flatten(2).transpose(1, 2)

        def encode(self, pixels: Tensor) -> dict[str, Tensor]:
            memory: dict[str, Tensor] = self.decoder.encode_memory(self.regions(pixels))
            return memory

    torch.manual_seed(0)
    return PatchNetwork().eval()


PATCH = 16


def numbered_words(count: int) -> Any:
    """A tokenizer with that many tokens."""
    from showtell.core.tokenizer import Tokenizer, special_tokens

    special = len(special_tokens(("en",)))
    return Tokenizer.build((f"word{n}" for n in range(count - special)), ("en",), 1)


def patch_bundle(
    folder: Path, decoder_settings: Any, grid: int, channels: int, vocab_size: int, int8: bool = False, **decode: Any
) -> Path:
    from showtell.settings import PixelSettings

    model = patch_network(decoder_settings, grid, channels, vocab_size)
    pixels = PixelSettings(size=grid * PATCH)
    return write_random_bundle(folder, model, numbered_words(vocab_size), (grid, grid), pixels, int8, **decode)
