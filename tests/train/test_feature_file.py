"""Features in a file: the same training as from photos, and no training with those of another encoder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tests.tiny_decoders import recurrent

from showtell import Captioner
from showtell.core.decode import decode
from showtell.core.pixels import to_pixels
from showtell.data.spec import read_samples
from showtell.errors import BadConfig, BadData
from showtell.export.bundle import export_run
from showtell.nets.backbone import published_weights
from showtell.nets.encoder import Encoder
from showtell.nets.torch_stepper import TorchStepper
from showtell.progress import ProgressReporter
from showtell.records import FeatureRow, Sample
from showtell.settings import DecodeSettings, EncoderSettings, ModelSettings, PixelOverrides, Recipe, TrainSettings
from showtell.train import feature_file
from showtell.train.feature_file import make_features
from showtell.train.large_tensor import map_large
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer, resolve_recipe

WEIGHTS = "weights.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def encoder(tmp_path: Path) -> EncoderSettings:
    """With weights from a file, as a user has them."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(3)
    save_file(timm.create_model("test_resnet").state_dict(), str(tmp_path / WEIGHTS))
    pixels = PixelOverrides(size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return EncoderSettings(name="test_resnet", weights=tmp_path / WEIGHTS, layer="pooled", pca=7, pixels=pixels)


def recipe(encoder: EncoderSettings, data: str, **train: object) -> Recipe:
    settings = TrainSettings(**{"epochs": 1, "batch_size": 16, "lr": 0.01, **train})
    model = ModelSettings(encoder=encoder, decoder=recurrent("gru", "initial_state"))
    return Recipe(model=model, data=data, train=settings, decode=DecodeSettings(beam_size=1, max_length=6))


def zero(captions: Mapping[str, str], _: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    return {"CIDEr": 0.0, "BLEU-4": 0.0}


def trainer(folder: Path, settings: Recipe) -> Trainer:
    samples = read_samples(settings.data)
    settings = resolve_recipe(settings, samples)
    run = RunFolder(folder)
    run.open(settings)
    return build_trainer(settings, run, samples, zero, ProgressReporter(), lambda done: None)


def make(tmp_path: Path, encoder: EncoderSettings) -> Path:
    path = tmp_path / "features.safetensors"
    shape = make_features(path, "shapes:60", encoder, read_samples("shapes:60"), ProgressReporter())
    assert shape == (160, 1, 7)  # 60 to train, 50 and 50 besides
    return path


def test_training_from_the_file_is_training_from_the_photos(tmp_path: Path, encoder: EncoderSettings) -> None:
    """By plain gradient descent, which turns a small difference of features into a small one of weights; Adam's first
    steps have the size of the rate whatever the gradient is."""
    path = make(tmp_path, encoder)
    photos, file = (
        trainer(tmp_path / name, recipe(encoder, data, optimizer="sgd", lr=0.1))
        for name, data in (("photos", "shapes:60"), ("file", f"features:{path}"))
    )
    before = {name: tensor.clone() for name, tensor in photos.model.state_dict().items()}
    for name, tensor in before.items():
        torch.testing.assert_close(tensor, file.model.state_dict()[name], msg=name)
    images = np.arange(60)
    one, other = (t.model.encoder.forward_trainable(t.train_set.features.batch(images)) for t in (photos, file))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)  # the file keeps half precision
    assert one.std() > 0.01
    photos.fit()
    file.fit()
    moved = max(float((tensor - before[name]).abs().max()) for name, tensor in photos.model.state_dict().items())
    assert moved > 0.01
    for name, tensor in photos.model.state_dict().items():
        torch.testing.assert_close(tensor, file.model.state_dict()[name], rtol=0, atol=0.02 * moved, msg=name)

    # A bundle of either takes photos, and the file's has the encoder that made the features.
    parity = export_run(tmp_path / "file", tmp_path / "file.bundle")
    assert parity.same + 1 >= parity.images == 8
    drawing = read_samples("shapes:3")[0].image()
    assert isinstance(drawing, Image.Image)
    caption = Captioner.load(tmp_path / "file.bundle", threads=1).caption(drawing)
    seen = TorchStepper(photos.model).encode(to_pixels(drawing, photos.model.encoder.pixels)[None])
    (expected,), *_ = decode(
        TorchStepper(photos.model), seen, 1, photos.train_set.tokenizer, "en", photos.recipe.decode
    )
    assert caption.score == pytest.approx(expected.score, abs=0.02)


def test_principal_components_are_those_of_the_training_split(tmp_path: Path, encoder: EncoderSettings) -> None:
    path = make(tmp_path, encoder)
    with safe_open(str(path), "numpy") as file:
        features, mean = file.get_tensor("features")[:, 0].astype(np.float64), file.get_tensor("pca.mean")
    train, rest = features[:60], features[60:]
    assert mean.shape == (96,)
    assert np.abs(train.mean(0)).max() < 1e-3 * np.abs(train).max()  # centred, and uncorrelated
    covariance = np.cov(train.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()
    assert np.abs(rest.mean(0)).max() > 10 * np.abs(train.mean(0)).max()


def test_the_file_says_what_made_it_and_no_path(tmp_path: Path, encoder: EncoderSettings) -> None:
    path = make(tmp_path, encoder)
    with safe_open(str(path), "numpy") as file:
        made_by = json.loads(file.metadata()["encoder"])
        notes = file.metadata()
    assert made_by["name"] == "test_resnet" and made_by["pca"] == 7 and len(made_by["weights"]) == 64
    assert notes["data"] == "shapes:60" and made_by["timm's weights"] is None
    assert str(tmp_path).encode() not in path.read_bytes()
    samples = read_samples(f"features:{path}")
    expected = read_samples("shapes:60")
    assert [(s.name, s.captions, s.split) for s in samples] == [(s.name, s.captions, s.split) for s in expected]
    assert samples[70].image == FeatureRow(path, 70)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "regions"}, r"features of another encoder \(layer 'pooled'\); expected layer 'regions'"),
        ({"pca": 6}, r"\(pca 7\); expected pca 6"),
        ({"name": "test_convnext"}, r"\(name 'test_resnet'\); expected name 'test_convnext'"),
        ({"weights": None, "pretrained": False}, r"\(pretrained True\); expected pretrained False"),
        ({"pixels": PixelOverrides(size=64)}, r"\(pixels \{'size': 32"),
    ],
)
def test_features_of_another_encoder_are_refused(
    tmp_path: Path, encoder: EncoderSettings, change: dict[str, object], message: str
) -> None:
    path = make(tmp_path, encoder)
    other = encoder.model_copy(update=change)
    if other.name == "test_convnext":
        other = other.model_copy(update={"weights": None, "pretrained": False})
    with pytest.raises(BadData, match=message) as caught:
        trainer(tmp_path / "run", recipe(other, f"features:{path}"))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))


def test_other_weights_are_another_encoder(tmp_path: Path, encoder: EncoderSettings) -> None:
    import timm
    from safetensors.torch import save_file

    path = make(tmp_path, encoder)
    torch.manual_seed(4)
    save_file(timm.create_model("test_resnet").state_dict(), str(tmp_path / WEIGHTS))
    with pytest.raises(BadData, match=r"features of another encoder .weights '[0-9a-f]{64}'"):
        trainer(tmp_path / "run", recipe(encoder, f"features:{path}"))


@pytest.mark.parametrize("wrong", [{"views": 2}, {"trainable_encoder_stages": 1}])
def test_features_are_no_photos(tmp_path: Path, encoder: EncoderSettings, wrong: dict[str, int]) -> None:
    encoder = encoder.model_copy(update={"pca": None})
    path = tmp_path / "features.safetensors"
    make_features(path, "shapes:10", encoder, read_samples("shapes:10"), ProgressReporter())
    with pytest.raises(
        BadConfig,
        match=r"has precomputed features, not photos; expected train.views=1 and train.trainable_encoder_stages=0",
    ):
        trainer(tmp_path / "run", recipe(encoder, f"features:{path}", **wrong))
    with pytest.raises(BadConfig, match=r"the data have precomputed features"):
        make_features(tmp_path / "again", "", encoder, read_samples(f"features:{path}"), ProgressReporter())


def test_a_data_spec_in_the_file_names_no_folder(tmp_path: Path, encoder: EncoderSettings) -> None:
    path = tmp_path / "features.safetensors"
    make_features(
        path, f"karpathy:{tmp_path}/a.json,{tmp_path}/photos", encoder, read_samples("shapes:10"), ProgressReporter()
    )
    with safe_open(str(path), "numpy") as file:
        assert file.metadata()["data"] == "karpathy:a.json,photos"


def test_weights_of_timm_go_by_their_tag() -> None:
    """As timm's model cards have it; without a tag the same name may mean other weights one day."""
    assert published_weights(EncoderSettings(name="vgg16")) == "tv_in1k"
    assert published_weights(EncoderSettings(name="vgg16.tv_in1k")) == "tv_in1k"
    assert published_weights(EncoderSettings(name="vgg16", pretrained=False)) is None
    assert published_weights(EncoderSettings(name="vgg16", weights=Path("w"))) is None


def test_photos_keep_their_rows_whatever_the_order_of_languages(tmp_path: Path, encoder: EncoderSettings) -> None:
    english = read_samples("shapes:10")
    arabic = [replace(sample, language="ar", captions=("دائرة",)) for sample in english]
    together, apart = (tmp_path / name for name in ("together", "apart"))
    make_features(
        together, "", encoder, [s for pair in zip(english, arabic, strict=True) for s in pair], ProgressReporter()
    )
    make_features(apart, "", encoder, [*english, *arabic[::-1]], ProgressReporter())
    one, other = (map_large(path) for path in (together, apart))
    assert len(one) == len(english) and one.std() > 0.01
    np.testing.assert_array_equal(one, other)
    rows = {(s.name, s.image.row) for s in read_samples(f"features:{apart}", ["en", "ar"])}
    assert rows == {(s.name, n) for n, s in enumerate(english)}


@pytest.mark.parametrize("name", ["nowhere/features", "."])
def test_a_file_that_cannot_be_made_is_told_before_the_work(
    tmp_path: Path, encoder: EncoderSettings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_file, "extract_features", None)
    with pytest.raises(BadConfig, match="no file can be made there"):
        make_features(tmp_path / name, "", encoder, read_samples("shapes:10"), ProgressReporter())


def test_nothing_is_left_of_a_file_that_was_not_finished(
    tmp_path: Path, encoder: EncoderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, encoder)
    before = path.read_bytes()

    def stop(self: Encoder, features: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(Encoder, "forward_trainable", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, encoder)
    assert path.read_bytes() == before and not list(tmp_path.glob(".*"))


def test_a_resumed_run_has_the_very_same_components(
    tmp_path: Path, encoder: EncoderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe(encoder, "shapes:30", epochs=2)
    first = trainer(tmp_path / "run", settings)
    fitted = first.model.encoder.pca.components.clone()
    assert torch.equal(trainer(tmp_path / "again", settings).model.encoder.pca.components, fitted)  # fitted twice
    first.save()
    monkeypatch.setattr("showtell.train.setup.fit_pca", None)  # must not be called
    assert torch.equal(trainer(tmp_path / "run", settings).model.encoder.pca.components, fitted)


def test_photos_need_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"^model.encoder.name is 'features', that is no encoder, but shapes:5 has"):
        resolve_recipe(recipe(EncoderSettings(name="features", channels=9), "shapes:5"), read_samples("shapes:5"))


@pytest.mark.parametrize("harm", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"{}" * 200])
def test_a_damaged_file(tmp_path: Path, encoder: EncoderSettings, harm: object) -> None:
    path = make(tmp_path, encoder)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(BadData, match=r"expected a file that `showtell data features` wrote"):
        read_samples(f"features:{path}")


def hdf5(tmp_path: Path, widths: Sequence[int] = (9, 9)) -> list[Sample]:
    samples = []
    for split, width in zip(("train", "dev"), widths, strict=True):
        file = tmp_path / f"{split}.h5"
        with h5py.File(file, "w") as opened:
            opened["features"] = np.random.default_rng(0).normal(size=(20, width)).astype(np.float32)
        samples += [Sample(f"{split}{n}", FeatureRow(file, n), ("a red circle",) * 2, split, "en") for n in range(20)]
    return samples


def test_ready_made_features_train_a_model_that_cannot_be_exported(tmp_path: Path, encoder: EncoderSettings) -> None:
    samples = hdf5(tmp_path)
    settings = resolve_recipe(recipe(encoder, "cs231n:somewhere"), samples)
    assert settings.model.encoder == EncoderSettings(name="features", channels=9)
    run = RunFolder(tmp_path / "run")
    run.open(settings)
    trained = build_trainer(settings, run, samples, zero, ProgressReporter(), lambda done: None)
    stored = h5py.File(tmp_path / "train.h5")["features"][:3]
    np.testing.assert_allclose(
        trained.train_set.features.batch(np.arange(3))[:, 0].numpy(), stored, rtol=1e-3, atol=1e-3
    )
    trained.fit()
    with pytest.raises(
        BadConfig, match=r"trained on precomputed features, and no encoder can compute those of a photo"
    ):
        export_run(run.path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_ready_made_features_that_are_no_numbers(tmp_path: Path, encoder: EncoderSettings) -> None:
    samples = hdf5(tmp_path)
    with h5py.File(tmp_path / "train.h5", "a") as file:
        del file["features"]
        file["features"] = np.full((20, 9), b"a")
    settings = resolve_recipe(recipe(encoder, "cs231n:somewhere"), samples)
    run = RunFolder(tmp_path / "run")
    run.open(settings)
    with pytest.raises(BadData, match=r"train.h5: found features of type \|S1; expected numbers"):
        build_trainer(settings, run, samples, zero, ProgressReporter(), lambda done: None)


def test_splits_of_different_width(tmp_path: Path, encoder: EncoderSettings) -> None:
    samples = hdf5(tmp_path, (9, 8))
    settings = resolve_recipe(recipe(encoder, "cs231n:somewhere"), samples)
    run = RunFolder(tmp_path / "run")
    run.open(settings)
    with pytest.raises(BadData, match=r"dev.h5: found features of width 8; expected 9"):
        build_trainer(settings, run, samples, zero, ProgressReporter(), lambda done: None)
