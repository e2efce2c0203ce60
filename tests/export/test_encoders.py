"""Encoders of every family as ONNX graphs, beside torch; benchmarks/encoders.py does it with the large ones."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from tests.rounding import assert_rounding

from showtell.core.stepper import POOLED
from showtell.export.graphs import export_graphs, round_to_half
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.encoder import Encoder
from showtell.settings import EncoderSettings, ModelSettings, PixelOverrides, RecurrentSettings

SWIN = ("swin_tiny_patch4_window7_224", {"img_size": 64, "embed_dim": 24, "window_size": 2})
CASES = [
    ("test_resnet", {}, "regions", 6, 64),
    ("test_efficientnet", {}, "pooled", 6, 64),
    ("test_convnext", {}, "regions", None, 64),
    ("test_vit", {"img_size": 64}, "pooled", None, 64),
    pytest.param(*SWIN, "regions", None, 64, marks=pytest.mark.long),
]


def gather_statistics(encoder: Encoder, images: torch.Tensor) -> None:
    """Without any, a network of random weights gives next to nothing, and nothing equals nothing."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
            module.train()
    with torch.no_grad():
        encoder(images)
    encoder.eval()


def check_weights(model: CaptioningModel, folder: Path) -> None:
    """The file has the weights under the model's names, and each graph has nothing large of its own."""
    stored, state = load_file(folder / "model.safetensors"), model.state_dict()
    constants = {name for name in stored if name.startswith(("encoder.onnx/", "decoder.onnx/"))}
    assert stored.keys() - constants == state.keys()
    for name, tensor in state.items():
        assert stored[name].dtype == (
            torch.float16 if tensor.is_floating_point() and tensor.numel() >= 1024 else tensor.dtype
        )
        assert torch.equal(stored[name].to(tensor.dtype), tensor)
    for graph in ("encoder.onnx", "decoder.onnx"):
        assert (folder / graph).stat().st_size < 5e5
        external = set()
        for tensor in onnx.load(folder / graph, load_external_data=False).graph.initializer:
            if tensor.external_data:
                external.add(tensor.name)
            else:
                assert np.prod(tensor.dims) < 1024, tensor.name
        assert external <= stored.keys() and {name for name in constants if name.startswith(graph)} <= external


@pytest.mark.parametrize(("name", "options", "layer", "pca", "size"), CASES)
def test_the_graph_is_the_encoder_for_any_number_of_images(
    tmp_path: Path, name: str, options: dict[str, int], layer: str, pca: int | None, size: int
) -> None:
    torch.manual_seed(0)
    settings = EncoderSettings(
        name=name, layer=layer, pca=pca, pretrained=False, timm_kwargs=options, pixels=PixelOverrides(size=size)
    )
    decoder = RecurrentSettings(cell="rnn", image="initial_state", width=8, embedding_dim=8)
    model = CaptioningModel(ModelSettings(encoder=settings, decoder=decoder), vocab_size=8, max_positions=4).eval()
    images = torch.randn(5, 3, size, size)
    if model.encoder.pca is not None:
        random = np.random.default_rng(0)
        mean, components = (tuple(buffer.shape) for buffer in (model.encoder.pca.mean, model.encoder.pca.components))
        model.encoder.pca.fill(*(random.normal(size=shape).astype(np.float32) for shape in (mean, components)))
    gather_statistics(model.encoder, images)
    tags = 2 if layer == "regions" else 0
    model.encoder.num_tags = tags  # as if the first regions were tags, which are not pooled
    round_to_half(model)
    export_graphs(model, size, tmp_path)
    check_weights(model, tmp_path)
    with torch.no_grad():
        other, other_regions = model.encode(images)["hidden"].numpy(), model.encoder(images).numpy()
        exact = model.double().encode(images.double())["hidden"].numpy()
        regions = model.encoder(images.double()).numpy()
    assert np.ptp(exact, axis=0).max() > 0.01 * np.abs(exact).max()
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"))
    for count in (1, 5):
        found, pooled = session.run(["memory.hidden", POOLED], {"pixels": images[:count].numpy()})
        assert_rounding(found, other[:count], exact[:count])
        means = [each[:count, tags:].mean(1) for each in (other_regions, regions)]
        assert_rounding(pooled, *means)
