"""Principal components against numpy's singular values."""

import numpy as np
import pytest
import torch
from tests.rounding import UNIT
from tests.tiny_decoders import recurrent

from showtell.errors import BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.encoder import Encoder
from showtell.nets.pca import PCA
from showtell.settings import EncoderSettings, ModelSettings, PixelOverrides
from showtell.train.features import Features
from showtell.train.fit_pca import fit_pca


def encoder(pca: int | None, trained: int = 0, layer: str = "regions") -> Encoder:
    torch.manual_seed(0)
    settings = EncoderSettings(
        name="test_resnet", pretrained=False, layer=layer, pca=pca, pixels=PixelOverrides(size=64)
    )
    return Encoder(settings, trained)


@pytest.mark.parametrize("layer", ["regions", "pooled"])
def test_it_is_the_projection_on_the_first_singular_vectors(layer: str) -> None:
    plain, reduced = encoder(None, layer=layer).eval(), encoder(5, layer=layer).eval()
    random = np.random.default_rng(0)
    raw = random.normal(size=(150, *plain.cached_shape)).astype(np.float16) * np.arange(1, 151)[:, None, None, None]
    fit_pca(reduced, Features([raw]))
    rows = plain.forward_trainable(torch.from_numpy(raw.astype(np.float32))).flatten(0, 1).double().numpy()
    _, singular, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (rows - rows.mean(0)) @ axes[:5].T
    found = reduced.forward_trainable(torch.from_numpy(raw.astype(np.float32))).flatten(0, 1).numpy()
    assert found.shape == expected.shape and reduced.channels == 5
    signs = np.sign((found * expected).sum(0))  # an axis has no direction
    # Davis and Kahan: an eigenvector turns by the covariance's error over the gap beside its eigenvalue; the error of
    # sums over all rows in float32 is sqrt(rows) u of the trace.
    variances = singular[:6] ** 2
    angle = np.sqrt(len(rows)) * UNIT * (singular**2).sum() / -np.diff(variances).max()
    assert angle < 0.01
    np.testing.assert_allclose(found * signs, expected, rtol=0, atol=angle * np.abs(expected).max())


def test_means_that_are_large_beside_what_varies_do_no_harm() -> None:
    """As in feature maps without a last norm; where float32 loses the covariance in the mean's square."""
    reduced = encoder(4, layer="pooled").eval()
    random = np.random.default_rng(0)
    raw = (random.normal(size=(300, 96, 1, 1)) * np.linspace(1, 0.1, 96)[:, None, None] + 100).astype(np.float32)
    fit_pca(reduced, Features([raw]))
    rows = raw[:, :, 0, 0].astype(np.float64)
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    cosines = np.abs((reduced.pca.components.double().numpy() * axes[:4]).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)  # turned by 0.014 at most, whose cosine this is


def test_it_is_no_parameter_and_is_saved_with_the_encoder() -> None:
    model = CaptioningModel(
        ModelSettings(
            encoder=EncoderSettings(
                name="test_resnet", pretrained=False, layer="pooled", pca=6, pixels=PixelOverrides(size=64)
            ),
            decoder=recurrent("lstm", "initial_state"),
        ),
        vocab_size=11,
        max_positions=5,
    )
    assert {name for name in model.state_dict() if "pca" in name} == {"encoder.pca.mean", "encoder.pca.components"}
    assert not [name for name, _ in model.named_parameters() if "pca" in name]
    model.encoder.pca.fill(np.full(96, 2, np.float32), np.eye(6, 96, dtype=np.float32))
    with torch.no_grad():
        seen = model.eval().encoder(torch.randn(2, 3, 64, 64))
        model.encoder.pca = None
    assert seen.shape == (2, 1, 6)


def test_what_cannot_be() -> None:
    with pytest.raises(
        BadConfig, match=r"model.encoder.pca is 600; expected at most 96, the encoder's number of channels"
    ):
        encoder(600)
    with pytest.raises(BadConfig, match=r"expected train.trainable_encoder_stages=0"):
        encoder(5, trained=1)
    few = encoder(5, layer="pooled")
    with pytest.raises(BadConfig, match=r"model.encoder.pca is 5, but the training split has 4 features"):
        fit_pca(few, Features([np.zeros((4, *few.cached_shape), np.float16)]))


def test_by_hand() -> None:
    pca = PCA(3, 2)
    pca.fill(np.array([1, 0, 2], np.float32), np.array([[0, 1, 0], [3, 0, 4]], np.float32))
    assert pca(torch.tensor([[[2.0, 5, 3]]])).tolist() == [[[5.0, 7.0]]]
