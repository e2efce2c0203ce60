"""Every encoder that recipes and docs name: shapes, timm's preprocessing, the exported network against torch.

    python benchmarks/encoders.py [NAME]...

Weights are random, since only the structure is checked. Batch norms first collect statistics, without which a deep
network with random weights outputs zeros. Prints the table of docs/encoders.md; after an interruption, give the missing
names.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from showtell.export.graphs import export_graphs, round_to_half
from showtell.nets.backbone import pixel_settings
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.encoder import Encoder
from showtell.settings import EncoderSettings, ModelSettings, RecurrentSettings

ENCODERS = (
    *(("resnet50", "regions"), ("resnet101", "regions"), ("resnet152", "regions"), ("resnext101_32x8d", "regions")),
    *(("vgg16", "regions"), ("vgg16", "fc7"), ("mobilenetv2_100", "regions"), ("mobilenetv3_large_100", "regions")),
    *(("efficientnet_b0", "regions"), ("tf_efficientnet_b4", "regions"), ("convnext_tiny", "regions")),
    *(("convnext_small", "regions"), ("convnext_base", "regions"), ("convnext_large", "regions")),
    *(("vit_base_patch16_224", "regions"), ("deit_base_patch16_224", "regions")),
    ("swin_tiny_patch4_window7_224", "regions"),
)
BATCHES = (1, 3)
"""Not the 2 that the graph is traced with: it must take any."""


def row(name: str, layer: str) -> str:
    settings = EncoderSettings(name=name, layer=layer, pretrained=False)
    # The smallest decoder: its memory is one linear map of the features, so that what differs is the encoder.
    decoder = RecurrentSettings(cell="rnn", image="initial_state", width=8, embedding_dim=8)
    torch.manual_seed(0)
    model = CaptioningModel(ModelSettings(encoder=settings, decoder=decoder), vocab_size=8, max_positions=4).eval()
    encoder, pixels = model.encoder, pixel_settings(settings)
    images = torch.randn(max(BATCHES), 3, pixels.size, pixels.size)
    gather_statistics(encoder, images)
    round_to_half(model)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        export_graphs(model, pixels.size, Path(folder))
        session = onnxruntime.InferenceSession(str(Path(folder) / "encoder.onnx"))
        outputs = [output.name for output in session.get_outputs()]
        expected = model.encode(images)["hidden"].numpy()
        differences = []
        for batch in BATCHES:
            found = session.run(None, {"pixels": images[:batch].numpy()})[outputs.index("memory.hidden")]
            differences.append(np.abs(found - expected[:batch]).max())
        varies = np.ptp(expected, axis=0).max()  # from image to image: what all have in common proves nothing
    height, width = encoder.grid
    cells = (
        f"`{name}`" + ("" if layer == "regions" else f", {layer}"),
        f"{pixels.size}, {pixels.interpolation}",
        f"{height} x {width} x {encoder.channels}",
        str(len(encoder.frozen)),
        f"{sum(p.numel() for p in encoder.parameters()):,}",
        f"{max(differences) / varies:.0e}",
    )
    return "| " + " | ".join(cells) + " |"


def gather_statistics(encoder: Encoder, images: torch.Tensor) -> None:
    """Those of the images themselves become the batch norms' own."""
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        encoder(images)
    encoder.eval()


def main(*names: str) -> None:
    print("| encoder | pixels | regions x channels | stages | parameters | ONNX less torch, relative |")
    print("|---" * 6 + "|")
    for name, layer in ENCODERS:
        if not names or name in names:
            print(row(name, layer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
