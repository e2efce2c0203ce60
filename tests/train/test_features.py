import errno
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.clocks import HANG_SECONDS
from tests.failing_disk import FailingDisk, fail
from torch import Tensor

from showtell import files
from showtell.core.image import load_image
from showtell.core.pixels import normalise, resize, to_pixels
from showtell.errors import BadData, BadImage, OutputError, StorageUnreachable
from showtell.nets.backbone import pixel_settings, resolve
from showtell.nets.encoder import Encoder
from showtell.records import Sample
from showtell.settings import CompanionSettings, EncoderSettings, PixelOverrides, TagSettings
from showtell.train import features as room
from showtell.train import frozen_graph, photo_views
from showtell.train.augment import RandAugment, augment
from showtell.train.features import Features, cache_folder, describe_companion, extract_features

SETTINGS = resolve(EncoderSettings(name="test_resnet", pretrained=False, pixels=PixelOverrides(size=32)))
PIXELS = pixel_settings(SETTINGS)
PHOTOS, BATCH, STAGES, SEED = 10, 4, 5, 7


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BATCH", BATCH)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    made = []
    for i in range(PHOTOS):
        path = tmp_path / "photos" / f"{i}.png"
        Image.fromarray(random.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)).save(path)
        made.append(Sample(path.name, path, ("a photo",), "train", "en"))
    return made


class Counted(Encoder):
    """An encoder that counts the photos its frozen part sees."""

    def __init__(self, settings: EncoderSettings = SETTINGS, trainable_stages: int = 1, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(settings, trainable_stages)
        self.seen = 0
        self.frozen.register_forward_pre_hook(self._count)

    def _count(self, module: torch.nn.Module, inputs: tuple[Tensor]) -> None:
        self.seen += len(inputs[0])


Extract = Callable[..., Features]


@pytest.fixture
def extracted(tmp_path: Path, samples: list[Sample]) -> Extract:
    def run(encoder: Encoder, settings: EncoderSettings = SETTINGS, views: int = 2, **changes: object) -> Features:
        defaults = {"samples": samples, "seed": SEED, "advance": lambda n: None, "folder": tmp_path / "cache"}
        return extract_features(encoder, settings, views=views, **{**defaults, **changes})

    return run


def close(found: Tensor, expected: Tensor) -> None:
    """As close as half precision comes."""
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_equal_to_direct_computation(extracted: Extract, samples: list[Sample]) -> None:
    encoder = Counted()
    features = extracted(encoder)
    assert len(features) == PHOTOS and [view.shape[1:] for view in features.views] == [encoder.cached_shape] * 2
    images, views = np.array([3, 9, 0, 3]), np.array([1, 0, 1, 0])
    with torch.no_grad():
        direct = torch.cat(
            [
                encoder.frozen(
                    torch.from_numpy(to_pixels(augment(load_image(samples[i].image), SEED, int(i), int(v)), PIXELS))[
                        None
                    ]
                )
                for i, v in zip(images, views, strict=True)
            ]
        )
        found = features.batch(images, views)
        assert found.dtype == torch.float32 and direct.std() > 0.01
        close(found, direct)
        close(features.batch(images), features.batch(images, np.zeros(4, int)))
        close(
            encoder.forward_trainable(features.batch(images[1:2])), encoder(torch.from_numpy(photo(samples[9]))[None])
        )


def photo(sample: Sample) -> np.ndarray:
    return to_pixels(load_image(sample.image), PIXELS)


def test_with_nothing_frozen_it_is_the_pixels(extracted: Extract, samples: list[Sample]) -> None:
    encoder = Counted(trainable_stages=STAGES)
    features = extracted(encoder)
    assert encoder.seen == 0 and features.views[0].dtype == np.uint8
    images, views = np.array([2, 5]), np.array([0, 1])
    expected = [
        normalise(resize(augment(load_image(samples[i].image), SEED, int(i), int(v)), PIXELS), PIXELS)
        for i, v in zip(images, views, strict=True)
    ]
    np.testing.assert_array_equal(features.batch(images, views).numpy(), np.stack(expected))


def test_with_all_frozen_it_is_what_the_decoder_sees(extracted: Extract, samples: list[Sample]) -> None:
    encoder = Counted(trainable_stages=0)
    with torch.no_grad():
        regions = encoder.forward_trainable(extracted(encoder).batch(np.array([4])))
        close(regions, encoder(torch.from_numpy(photo(samples[4]))[None]))


def test_a_runtime_computes_what_torch_does(
    extracted: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    companion = CompanionSettings(name="test_efficientnet", pretrained=False)
    pair = resolve(SETTINGS.model_copy(update={"companion": companion}))
    for settings in (SETTINGS, pair):
        torch.manual_seed(0)
        encoder = Encoder(settings, trainable_stages=2)
        by_torch = extracted(encoder, settings, folder=tmp_path / "torch").batch(np.arange(PHOTOS))
        monkeypatch.setattr(frozen_graph, "WORTH_IT", 2 * PHOTOS)
        monkeypatch.setattr(frozen_graph, "_by_torch", None)
        by_graph = extracted(encoder, settings, folder=tmp_path / "graph").batch(np.arange(PHOTOS))
        assert by_graph.std() > 0.01
        close(by_graph, by_torch)
        monkeypatch.undo()


def test_the_second_time_nothing_is_computed(extracted: Extract) -> None:
    encoder, advanced = Counted(), []
    first = extracted(encoder)
    assert encoder.seen == 2 * PHOTOS
    again = Counted()
    second = extracted(again, advance=advanced.append)
    assert again.seen == 0 and sum(advanced) == 2 * PHOTOS
    assert all(np.array_equal(one, other) for one, other in zip(first.views, second.views, strict=True))
    more = Counted()
    assert len(extracted(more, views=3).views) == 3 and more.seen == PHOTOS  # one view more


def test_progress_is_told(extracted: Extract) -> None:
    advanced: list[int] = []
    extracted(Counted(), advance=advanced.append, views=1)
    assert [n for n in advanced if n] == [4, 4, 2]


class Stop(Exception):
    pass


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("trained", [1, STAGES])
def test_an_interrupted_extraction_goes_on(extracted: Extract, tmp_path: Path, blocks: int, trained: int) -> None:
    """Two views of three blocks each, stopped after every possible one of them."""
    calls = 0

    def stop(n: int) -> None:
        nonlocal calls
        calls += n > 0
        if calls > blocks or (blocks == 0 and n == 0):
            raise Stop

    expected = extracted(Counted(trainable_stages=trained), folder=tmp_path / "whole")
    first = Counted(trainable_stages=trained)
    if blocks < 6:
        with pytest.raises(Stop):
            extracted(first, advance=stop)
    advanced: list[int] = []
    second = Counted(trainable_stages=trained)
    features = extracted(second, advance=advanced.append)
    assert sum(advanced) == 2 * PHOTOS
    assert first.seen + second.seen == (2 * PHOTOS if trained == 1 else 0)  # no photo twice
    assert all(np.array_equal(one, other) for one, other in zip(features.views, expected.views, strict=True))
    assert all(path.suffix == ".npy" and ".part" not in path.name for path in (tmp_path / "cache").rglob("*.*"))


def test_a_photo_that_fails_loses_nothing_that_is_done(extracted: Extract, samples: list[Sample]) -> None:
    """The file is put right again, with its time, as a disk that comes back would."""
    path = samples[6].image
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(b"x" * len(content))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    encoder = Counted()
    with pytest.raises(BadData, match=r"^6\.png: found not_an_image ") as caught:
        extracted(encoder, views=1)
    assert encoder.seen == 4 and isinstance(caught.value.__cause__, BadImage)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    extracted(encoder, views=1)
    assert encoder.seen == PHOTOS


def test_a_photo_that_never_arrives_ends_the_run_and_the_next_one_goes_on(
    extracted: Extract, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network drive that is gone. What came before is kept."""
    go, encoder = threading.Event(), Counted()

    def stuck(source: Path) -> Image.Image:
        if source.name == "6.png":
            go.wait()
        return load_image(source)

    with monkeypatch.context() as patch:
        patch.setattr(photo_views, "PATIENCE", 1.0)
        patch.setattr(photo_views, "load_image", stuck)
        with pytest.raises(StorageUnreachable, match=r"^6\.png: the photo was not read within 1 s; check its disk"):
            extracted(encoder, views=1)
    go.set()
    assert encoder.seen == 4
    extracted(encoder, views=1)
    assert encoder.seen == PHOTOS


@pytest.mark.parametrize("end", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_a_loader_thread_never_ends_in_silence(
    extracted: Extract, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    def ends(source: Path) -> Image.Image:
        if source.name == "6.png":
            raise end
        return load_image(source)

    monkeypatch.setattr(photo_views, "load_image", ends)
    with pytest.raises(type(end)):
        extracted(Counted(), views=1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_fails_is_one_error_and_the_next_run_goes_on(
    extracted: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """At each operation that marks what is done: the counts of three blocks, and the name of the whole."""
    expected = extracted(Counted(), views=1, folder=tmp_path / "whole")
    for at in itertools.count(1):
        with monkeypatch.context() as patch:
            patch.setattr(files, "disk", disk := FailingDisk(at, "before", fail(number)))
            try:
                extracted(Counted(), views=1, folder=tmp_path / str(at))
            except OSError as error:
                assert error.errno == number  # the command line makes a line of it
            except OutputError as error:
                assert os.strerror(number) in str(error)
        assert np.array_equal(extracted(Counted(), views=1, folder=tmp_path / str(at)).views[0], expected.views[0])
        if not disk.has_failed:
            break
    assert at == 3 * 4 + 2 + 1


# --- what makes another cache


def caches(tmp_path: Path) -> int:
    return len(list((tmp_path / "cache" / "features").iterdir()))


def test_other_settings_seeds_stages_or_random_weights_make_another_cache(extracted: Extract, tmp_path: Path) -> None:
    extracted(Counted())
    for count, (change, encoder, settings) in enumerate(
        [
            ({"seed": SEED + 1}, Counted(), SETTINGS),
            ({"rand": RandAugment(1, 5)}, Counted(), SETTINGS),
            ({"rand": RandAugment(2, 5)}, Counted(), SETTINGS),
            ({"rand": RandAugment(2, 6)}, Counted(), SETTINGS),
            ({}, Counted(trainable_stages=2), SETTINGS),
            ({}, Counted(seed=1), SETTINGS),
            *(
                ({}, Counted(other), other)
                for other in (
                    SETTINGS.model_copy(update={"pixels": PixelOverrides(size=64)}),
                    SETTINGS.model_copy(update={"pixels": PixelOverrides(size=32, crop_mode="center")}),
                    SETTINGS.model_copy(update={"timm_kwargs": {"output_stride": 8}}),
                    EncoderSettings(name="test_convnext", pretrained=False, pixels=SETTINGS.pixels),
                )
            ),
        ],
        start=2,
    ):
        extracted(encoder, settings, **change)
        assert caches(tmp_path) == count
    extracted(Counted())
    extracted(Counted(), rand=RandAugment(0, 9))  # off, whatever its magnitude
    assert caches(tmp_path) == count


def test_where_only_photos_themselves_are_wanted_no_seed_makes_another_cache(
    extracted: Extract, tmp_path: Path
) -> None:
    first = extracted(Counted(), views=1)
    again = Counted()
    second = extracted(again, views=1, seed=SEED + 1, rand=RandAugment(2, 5))
    assert again.seen == 0 and caches(tmp_path) == 1
    assert np.array_equal(first.views[0], second.views[0])


def test_rand_augment_changes_the_further_views_alone(extracted: Extract, samples: list[Sample]) -> None:
    rand = RandAugment(2, 5)
    plain, changed = (extracted(Counted(trainable_stages=STAGES), rand=each) for each in (RandAugment(), rand))
    assert np.array_equal(plain.views[0], changed.views[0])
    for i, sample in enumerate(samples):
        expected = resize(augment(load_image(sample.image), SEED, i, 1, rand), PIXELS)
        np.testing.assert_array_equal(changed.views[1][i], expected)
    assert not np.array_equal(plain.views[1], changed.views[1])


def test_a_changed_photo_makes_another_cache(extracted: Extract, samples: list[Sample], tmp_path: Path) -> None:
    before = extracted(Counted(), views=1)
    Image.new("RGB", (40, 40), "red").save(samples[3].image)
    after = extracted(Counted(), views=1)
    assert caches(tmp_path) == 2
    same = [np.array_equal(before.views[0][i], after.views[0][i]) for i in range(PHOTOS)]
    assert same == [i != 3 for i in range(PHOTOS)]


def test_other_photos_or_another_order_make_another_cache(
    extracted: Extract, samples: list[Sample], tmp_path: Path
) -> None:
    for count, chosen in enumerate((samples, samples[:-1], samples[::-1]), start=1):
        assert len(extracted(Counted(), views=1, samples=chosen)) == len(chosen)
        assert caches(tmp_path) == count


@pytest.fixture
def from_file(tmp_path: Path) -> Callable[..., tuple[Counted, EncoderSettings]]:
    """An encoder whose weights come from a file of the given name, with its settings."""

    def make(name: str, seed: int = 0, trainable_stages: int = 1) -> tuple[Counted, EncoderSettings]:
        torch.manual_seed(seed)
        weights = timm.create_model(SETTINGS.name, num_classes=0).state_dict()
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, tmp_path / name)
        settings = SETTINGS.model_copy(update={"pretrained": True, "weights": tmp_path / name})
        return Counted(settings, trainable_stages), settings

    return make


def test_a_changed_weights_file_makes_another_cache_and_a_copied_one_does_not(
    extracted: Extract, from_file: Callable[..., tuple[Counted, EncoderSettings]], tmp_path: Path
) -> None:
    first = extracted(*from_file("one.safetensors"), views=1)
    again, settings = from_file("two.safetensors")
    extracted(again, settings, views=1)
    assert again.seen == 0 and caches(tmp_path) == 1
    other = extracted(*from_file("two.safetensors", seed=1), views=1)
    assert caches(tmp_path) == 2 and not np.array_equal(first.views[0], other.views[0])


def test_another_cut_of_the_same_weights_makes_another_cache(
    extracted: Extract, from_file: Callable[..., tuple[Counted, EncoderSettings]]
) -> None:
    shapes = {extracted(*from_file("w", trainable_stages=n), views=1).views[0].shape for n in range(STAGES + 1)}
    assert len(shapes) == STAGES + 1


def drawn(colour: str) -> Image.Image:
    return Image.new("RGB", (32, 32), colour)


def test_photos_may_be_drawn(extracted: Extract) -> None:
    samples = [Sample(c, partial(drawn, c), ("a",), "train", "en") for c in ("red", "blue")]
    features = extracted(Counted(trainable_stages=STAGES), views=1, samples=samples)
    assert features.views[0][:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SHOWTELL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "showtell"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "showtell"
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_the_cache_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, extracted: Extract, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "own"))
    extracted(Counted(), views=1, folder=None)
    assert len(list((tmp_path / "own" / "features").glob("*/view-0.npy"))) == 1


def test_a_process_waits_while_another_one_extracts(extracted: Extract, tmp_path: Path) -> None:
    """The other process only holds the lock, and ends when its input does."""
    told = threading.Event()
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from filelock import FileLock\n"
        "with FileLock(Path(sys.argv[1]) / 'lock'):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    extracted(Counted(), views=1)  # makes the folder
    (cache,) = (tmp_path / "cache" / "features").iterdir()
    (cache / "view-0.npy").unlink()
    command = [sys.executable, "-c", program, str(cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        messages: list[str] = []

        def say(message: str) -> None:
            messages.append(message)
            told.set()

        with ThreadPoolExecutor(1) as pool:
            encoder = Counted()
            features = pool.submit(extracted, encoder, views=1, say=say)
            assert told.wait(HANG_SECONDS) and encoder.seen == 0 and not features.done()
            other.stdin.close()
            assert len(features.result(HANG_SECONDS)) == PHOTOS and encoder.seen == PHOTOS
    assert "waiting" in messages[0] and str(cache) in messages[0]
    assert len(messages) == 2 and messages[1].startswith("features: ")


def test_other_nouns_of_a_companion_are_other_features(tmp_path: Path) -> None:
    """The same nouns for other classes, too: what is cached are the probabilities of nouns."""
    companion = SimpleNamespace(backbone=torch.nn.Linear(2, 2))
    described = []
    for nouns in ("dog\ncat\n", "cat\ndog\n"):
        (tmp_path / f"{len(described)}.txt").write_text(nouns, encoding="utf-8")
        tags = TagSettings(nouns=tmp_path / f"{len(described)}.txt")
        settings = CompanionSettings(name="test_resnet", pretrained=False, tags=tags)
        described.append(describe_companion(companion, settings))
    assert described[0] != described[1] and str(tmp_path) not in str(described)
