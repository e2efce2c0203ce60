"""Features without a cache: the same as with one, read ahead or not."""

import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.errors import BadData
from showtell.nets.encoder import Encoder
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.records import Sample
from showtell.settings import EncoderSettings, PixelOverrides, Recipe
from showtell.train.augment import OFF
from showtell.train.features import extract_features
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer
from showtell.train.stop_signal import Interrupted
from showtell.train.streamed_features import StreamedFeatures

SETTINGS = EncoderSettings(
    name="test_resnet", pretrained=False, timm_kwargs={"output_stride": 16}, pixels=PixelOverrides(size=32)
)
SHORT = [
    *("data=shapes:48", "model.encoder.pixels.size=32", "model.encoder.timm_kwargs={output_stride: 16}"),
    *("model.decoder.width=16", "train.batch_size=16", "train.views=3", "train.trainable_encoder_stages=1"),
    *("train.unfreeze_encoder_at_epoch=0", "train.warmup_ratio=0", "decode.beam_size=1", "decode.max_length=6"),
]


def no_score(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    return {"CIDEr": 0.0, "BLEU-4": 0.0}


@pytest.fixture
def samples() -> list[Sample]:
    return [sample for sample in read_samples("shapes:40", ["en"]) if sample.split == "train"]


@pytest.mark.parametrize("stages", [0, 1, 5], ids=["all frozen", "one trained", "none frozen"])
def test_a_batch_is_that_of_the_cache(stages: int, samples: list[Sample], tmp_path: Path) -> None:
    torch.manual_seed(0)
    stages = min(stages, len(Encoder(SETTINGS).frozen))
    encoder = Encoder(SETTINGS, stages).eval()
    cached = extract_features(encoder, SETTINGS, samples, 3, 7, lambda n: None, tmp_path)
    streamed = StreamedFeatures(encoder, samples, 7, OFF, True)
    images, views = np.array([5, 0, 31]), np.array([2, 0, 1])
    # Other photos stand beside them in the cache's batches, so that sums may be rounded otherwise.
    torch.testing.assert_close(streamed.batch(images, views), cached.batch(images, views), rtol=2e-3, atol=2e-3)
    with streamed.ahead([(images, views), (images[:2], views[1:])]):
        first = streamed.batch(images, views)
        torch.testing.assert_close(streamed.batch(images[2:]), cached.batch(images[2:]), rtol=2e-3, atol=2e-3)
        second = streamed.batch(images[:2], views[1:])
    assert torch.equal(first, streamed.batch(images, views))
    assert torch.equal(second, streamed.batch(images[:2], views[1:]))
    assert not torch.equal(streamed.batch(images[:1], 1), streamed.batch(images[:1], 2))


def test_photos_are_read_once_and_ahead(samples: list[Sample]) -> None:
    read: list[str] = []

    def counted(sample: Sample) -> Sample:
        def image() -> Image.Image:
            read.append(sample.name)
            return sample.image()  # type: ignore[no-any-return, operator]

        return Sample(sample.name, image, sample.captions, sample.split, sample.language)

    streamed = StreamedFeatures(Encoder(SETTINGS), [counted(sample) for sample in samples], 0, OFF, True)
    plan = [(np.array([n, n + 1]), np.array([0, 0])) for n in range(0, 40, 2)]
    with streamed.ahead(plan):
        streamed.batch(*plan[0])
        assert len(read) > 2
        for batch in plan[1:]:
            streamed.batch(*batch)
    assert sorted(read) == sorted(sample.name for sample in samples)


def test_a_broken_photo_is_named(samples: list[Sample]) -> None:
    samples[3] = Sample("broken", lambda: b"no picture", ("a",), "train", "en")
    streamed = StreamedFeatures(Encoder(SETTINGS), samples, 0, OFF, True)
    with pytest.raises(BadData, match=r"broken.*not_an_image"), streamed.ahead([(np.array([3]), np.array([0]))]):
        streamed.batch(np.array([3]), np.array([0]))


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*SHORT, *changes]), "test")


def trainer(folder: Path, settings: Recipe, after: Callable[[RunFolder], None] = lambda run: None) -> Trainer:
    run = RunFolder(folder)
    run.open(settings)
    samples = read_samples(settings.data, settings.text.languages)
    return build_trainer(settings, run, samples, no_score, ProgressReporter(quiet=True), after)


def weights(folder: Path) -> dict[str, Tensor]:
    return {k: v for k, v in load_file(str(folder / "last" / "state.safetensors")).items() if k.startswith("model.")}


def test_a_run_is_the_one_with_a_cache_and_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, caches in (("with", "true"), ("without", "false")):
        monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / f"cache {name}"))
        trainer(tmp_path / name, recipe("train.epochs=1", f"train.cache_features={caches}")).fit()
    assert (tmp_path / "cache with").exists() and not (tmp_path / "cache without").exists()
    one, other = weights(tmp_path / "with"), weights(tmp_path / "without")
    for name, tensor in one.items():
        # AdamW divides by the size of the gradient, so that where that is rounding, a step may have either sign.
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=4 * 3 * 4e-4)
    moved = sum(float((one[name] - other[name]).abs().sum()) for name in one if one[name].is_floating_point())
    total = sum(float(tensor.abs().sum()) for tensor in one.values() if tensor.is_floating_point())
    assert moved < 1e-3 * total


def test_it_goes_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    settings = recipe("train.epochs=2", "train.cache_features=false")
    trainer(tmp_path / "whole", settings).fit()
    stopped = trainer(tmp_path / "stopped", settings)
    step, done = stopped.step, []

    def stop_after_four(group: object) -> float:
        if len(done) == 4:
            stopped.save()
            raise Interrupted
        done.append(group)
        return step(group)  # type: ignore[arg-type]

    stopped.step = stop_after_four  # type: ignore[method-assign, assignment]
    with pytest.raises(Interrupted):
        stopped.fit()
    assert stopped.progress.batch > 0
    trainer(tmp_path / "stopped", settings).fit()
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_tar_shards_are_read_in_the_order_of_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 20), ("val", 4)):
        with tarfile.open(tmp_path / f"{split}-000.tar", "w") as tar:
            for n in range(count):
                picture = io.BytesIO()
                Image.new("RGB", (40, 32), (n * 12, 90, 60)).save(picture, "PNG")
                for suffix, content in (("png", picture.getvalue()), ("txt", b"a coloured square\nthe square")):
                    member = tarfile.TarInfo(f"{n:03}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))
    changes = f"data=shards:{tmp_path}/*.tar", "train.cache_features=false", "text.min_frequency=1", "train.epochs=1"
    trainer(tmp_path / "run", recipe(*changes)).fit()
    assert (tmp_path / "run" / "best" / "model.safetensors").exists() and not (tmp_path / "cache").exists()
