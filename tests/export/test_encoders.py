"""Encoders of every family as ONNX graphs, beside torch; benchmarks/encoders.py does it with the large ones."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.rounding import assert_rounding

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
    (*SWIN, "regions", None, 64),
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
    round_to_half(model)
    export_graphs(model, size, tmp_path)
    with torch.no_grad():
        other = model.encode(images)["hidden"].numpy()
        exact = model.double().encode(images.double())["hidden"].numpy()
    assert np.ptp(exact, axis=0).max() > 0.01 * np.abs(exact).max()
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"))
    place = [output.name for output in session.get_outputs()].index("memory.hidden")
    for count in (1, 5):
        found = session.run(None, {"pixels": images[:count].numpy()})[place]
        assert_rounding(found, other[:count], exact[:count])
