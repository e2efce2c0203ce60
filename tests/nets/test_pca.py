"""Principal components against numpy's singular values."""

import numpy as np
import pytest
import torch
from tests.tiny_decoders import recurrent

from showtell.errors import BadConfig
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.encoder import Encoder
from showtell.nets.pca import PrincipalComponents
from showtell.settings import EncoderSettings, ModelSettings, PixelChoices
from showtell.train.features import Features
from showtell.train.principal import fit_principal_components


def encoder(pca: int | None, trained: int = 0, layer: str = "regions") -> Encoder:
    torch.manual_seed(0)
    settings = EncoderSettings(name="test_resnet", random=True, layer=layer, pca=pca, pixels=PixelChoices(size=64))
    return Encoder(settings, trained)


@pytest.mark.parametrize("layer", ["regions", "vector"])
def test_it_is_the_projection_on_the_first_singular_vectors(layer: str) -> None:
    plain, reduced = encoder(None, layer=layer).eval(), encoder(5, layer=layer).eval()
    random = np.random.default_rng(0)
    raw = random.normal(size=(150, *plain.cached_shape)).astype(np.float16) * np.arange(1, 151)[:, None, None, None]
    fit_principal_components(reduced, Features([raw]))
    rows = plain.finish(torch.from_numpy(raw.astype(np.float32))).flatten(0, 1).double().numpy()
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (rows - rows.mean(0)) @ axes[:5].T
    found = reduced.finish(torch.from_numpy(raw.astype(np.float32))).flatten(0, 1).numpy()
    assert found.shape == expected.shape and reduced.channels == 5
    signs = np.sign((found * expected).sum(0))  # an axis has no direction
    np.testing.assert_allclose(found * signs, expected, rtol=1e-3, atol=1e-2 * np.abs(expected).max() / 100)


def test_means_that_are_large_beside_what_varies_do_no_harm() -> None:
    """As in feature maps without a last norm; where float32 loses the covariance in the mean's square."""
    reduced = encoder(4, layer="vector").eval()
    random = np.random.default_rng(0)
    raw = (random.normal(size=(300, 96, 1, 1)) * np.linspace(1, 0.1, 96)[:, None, None] + 100).astype(np.float32)
    fit_principal_components(reduced, Features([raw]))
    rows = raw[:, :, 0, 0].astype(np.float64)
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    cosines = np.abs((reduced.pca.components.double().numpy() * axes[:4]).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_it_is_no_parameter_and_is_saved_with_the_encoder() -> None:
    model = CaptioningModel(
        ModelSettings(
            encoder=EncoderSettings(
                name="test_resnet", random=True, layer="vector", pca=6, pixels=PixelChoices(size=64)
            ),
            decoder=recurrent("lstm", "initial_state"),
        ),
        vocabulary=11,
        max_words=5,
    )
    assert {name for name in model.state_dict() if "pca" in name} == {"encoder.pca.mean", "encoder.pca.components"}
    assert not [name for name, _ in model.named_parameters() if "pca" in name]
    model.encoder.pca.fill(np.full(96, 2, np.float32), np.eye(6, 96, dtype=np.float32))
    with torch.no_grad():
        seen = model.eval().encoder(torch.randn(2, 3, 64, 64))
        model.encoder.pca = None
    assert seen.shape == (2, 1, 6)


def test_what_cannot_be() -> None:
    with pytest.raises(BadConfig, match=r"model.encoder.pca is 600; expected at most 96, the encoder's channels"):
        encoder(600)
    with pytest.raises(BadConfig, match=r"expected train.encoder_stages=0"):
        encoder(5, trained=1)
    few = encoder(5, layer="vector")
    with pytest.raises(BadConfig, match=r"model.encoder.pca is 5, but the training split has 4 features"):
        fit_principal_components(few, Features([np.zeros((4, *few.cached_shape), np.float16)]))


def test_by_hand() -> None:
    pca = PrincipalComponents(3, 2)
    pca.fill(np.array([1, 0, 2], np.float32), np.array([[0, 1, 0], [3, 0, 4]], np.float32))
    assert pca(torch.tensor([[[2.0, 5, 3]]])).tolist() == [[[5.0, 7.0]]]
