"""`showtell data features`, as it is typed."""

from pathlib import Path

import pytest
from tests import skips
from typer.testing import CliRunner

from showtell.cli.main import app
from showtell.data.spec import read_samples

COMMAND = ["data", "features", "shapes:12", "--encoder", "test_resnet", "--setting", "pretrained=false"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def test_a_file_to_train_from(tmp_path: Path) -> None:
    file = tmp_path / "features.safetensors"
    options = ["--layer", "pooled", "--pca", "4", "--setting", "pixels.size=32", "--output", str(file)]
    done = CliRunner().invoke(app, [*COMMAND, *options])
    assert done.exit_code == 0, done.output
    assert "features of 112 photos, 1 x 4 each" in done.stderr
    assert {sample.split for sample in read_samples(f"features:{file}")} == {"train", "dev", "test"}


def test_training_from_a_file_of_random_weights(tmp_path: Path) -> None:
    """The one way to try all of it without a download: seed 0 makes the same random encoder in both commands."""
    file, run = tmp_path / "features.safetensors", tmp_path / "run"
    options = ["--layer", "pooled", "--setting", "pixels.size=32", "--output", str(file)]
    assert CliRunner().invoke(app, [*COMMAND, *options]).exit_code == 0
    encoder = ["model.encoder.pretrained=false", "model.encoder.layer=pooled", "model.encoder.pixels.size=32"]
    training = [f"data=features:{file}", "model.encoder=test_resnet", "train.epochs=1", "train.max_images=4"]
    done = CliRunner().invoke(app, ["train", "flickr8k-lstm", *training, *encoder, "--run", str(run)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "fc8"], "model.encoder.layer"),
        (["--layer", "fc7"], "test_resnet has no fc7"),
        (["--pca", "13", "--layer", "pooled"], "the training split has 12 features"),
        (["--setting", "pixels.sise=32"], "did you mean 'size'?"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "features.safetensors"
    done = CliRunner().invoke(app, [*COMMAND, *options, "--output", str(file)])
    assert done.exception is not None and message in str(done.exception) and "\n" not in str(done.exception)
    assert not file.exists()


def test_a_bundle_is_not_evaluated_on_features(tmp_path: Path) -> None:
    file = tmp_path / "features.safetensors"
    made = CliRunner().invoke(app, [*COMMAND, "--setting", "pixels.size=32", "--output", str(file)])
    assert made.exit_code == 0
    done = CliRunner().invoke(app, ["evaluate", "--data", f"features:{file}", "--split", "dev"])
    assert "found features; expected photos, give the data that the features were computed from" in str(done.exception)
