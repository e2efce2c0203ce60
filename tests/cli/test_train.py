"""`showtell train` on a folder of photos: what it leaves out, and what it says when the photos have changed."""

from pathlib import Path

import pytest
from PIL import Image
from tests import skips
from tests.cli.in_process import showtell

pytest.importorskip("torch", reason=skips.PACKAGES)
TINY = [
    *("model.encoder.pixels.size=32", "model.encoder.timm_kwargs={output_stride: 16}", "model.decoder.width=16"),
    *("train.epochs=1", "train.views=1", "text.min_frequency=1", "decode.beam_size=1", "decode.max_length=6"),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for split, number in (("Train", 3), ("valid", 1)):
        (folder / split).mkdir(parents=True)
        for n in range(number):
            Image.new("RGB", (32, 32), (90 * n, 80, 80)).save(folder / split / f"{n}.png")
            (folder / split / f"{n}.caption").write_text("a red square\nthe square\n")
    return folder


def test_a_run_and_what_it_says_of_changed_data(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(photos / "Train" / "bare.png")
    (photos / "Train" / "x.svg").write_text("<svg/>")
    command = ["train", "shapes", f"data=folder:{photos}", *TINY, "--run", tmp_path / "run"]

    def train(*more: str) -> tuple[int, str]:
        done = showtell(*command, *more, SHOWTELL_CACHE=str(tmp_path / "cache"))
        return done.returncode, done.stderr

    status, said = train()
    assert status == 0 and "3 photos to train on, 1 to validate on" in said
    assert said.startswith(
        "showtell: left out: 1 picture of a format that is not read (Train/x.svg), 1 photo without captions "
        f"(Train/bare.png); `showtell data check folder:{photos}` names all\n"
    )
    assert (status, said.count("is finished")) == (0, 0)
    curves, kept = tmp_path / "run" / "curves.png", tmp_path / "run" / "best" / "epoch-1.safetensors"
    drawn = curves.read_bytes()
    curves.unlink()  # as if it had been killed after its last save
    kept.write_bytes(b"")
    status, said = train()
    assert status == 0 and "is finished" in said
    assert curves.read_bytes()[:8] == drawn[:8] and not kept.exists()
    times = curves.stat().st_mtime_ns
    assert train()[0] == 0 and curves.stat().st_mtime_ns == times

    (photos / "Train" / "1.caption").write_text("a green square\n")
    status, said = train()
    assert status == 2 and "is finished" not in said
    assert "holds a finished run with other data: 1 photo with other captions (Train/1.png)" in said
    assert train("--allow-changed-data")[0] == 0


def test_no_split_folder_is_passed_over(photos: Path, tmp_path: Path) -> None:
    (photos / "Train").rename(photos / "Trainees")
    done = showtell("train", "shapes", f"data=folder:{photos}", *TINY, "--run", tmp_path / "run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()
    assert f"{photos / 'Trainees'}: found 3 captioned photos in a folder beside the split folders valid" in done.stderr


def test_a_model_is_fine_tuned_on_a_folder_of_photos(photos: Path, tmp_path: Path) -> None:
    """The command that the docs give, with a tiny model; what it makes can be gone on from as well."""
    from tests.train.tiny_bundles import write_imported

    begin = write_imported(tmp_path / "blip")

    def finetune(start: Path, run: str, *more: str) -> tuple[int, str]:
        settings = [f"train.start_from={start}", f"data=folder:{photos}", "train.epochs=1", *more]
        done = showtell("train", "finetune", *settings, "--run", tmp_path / run, SHOWTELL_CACHE=str(tmp_path / "cache"))
        return done.returncode, done.stderr

    status, said = finetune(begin, "run", "train.lora_rank=2")
    # Two matrices beside each of 2 x 10 layers, the transform before the output, and the projection of 96 channels.
    trained = 2 * (2 * 8 * (64 + 64) + 2 * 2 * (64 + 128)) + 2 * (64 + 64) + 2 * (96 + 64)
    assert status == 0, said
    assert f"{trained:,} trainable parameters of" in said and "next: showtell export" in said
    status, said = finetune(tmp_path / "run", "again")
    assert status == 0, said
    status, said = finetune(begin, "other", "model.decoder.width=32")
    assert status == 2 and said.count("\n") == 1 and "model.decoder.width is 64 in" in said
    assert not (tmp_path / "other").exists()


def test_a_dry_run_says_what_the_run_takes_and_leaves_nothing(tmp_path: Path) -> None:
    command = ["train", "shapes", "data=shapes:60", *TINY, "train.views=2", "--run", tmp_path / "run"]
    cache = str(tmp_path / "cache")
    done = showtell(*command, "--dry-run", SHOWTELL_CACHE=cache)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []
    features, training, folder, last = done.stderr.splitlines()[1:]
    assert f" in {cache} (" in features and "training: 1 epochs" in training and str(tmp_path / "run") in folder
    assert last.endswith("next: the same command without --dry-run")

    assert showtell(*command, SHOWTELL_CACHE=cache).returncode == 0
    cached = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("view-*.npy"))
    forecast = [
        float(words.split()[-2]) for words in (features.split(" MB in ")[0] + " MB", folder.split(" MB (")[0] + " MB")
    ]
    assert abs(forecast[0] - cached / 1e6) <= 0.1 + 0.05 * cached / 1e6  # rounding, and headers of the files
    written = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*.safetensors"))
    assert written / 1e6 <= forecast[1] <= 4 * written / 1e6


def test_a_dry_run_without_a_cache_and_in_two_processes(tmp_path: Path) -> None:
    command = ["train", "shapes", "data=shapes:60", *TINY, "train.cache_features=false", "train.devices=2"]
    done = showtell(*command, "--dry-run", SHOWTELL_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    training, processes, folder, last = done.stderr.splitlines()[1:]
    assert training.startswith("training: 1 epochs") and processes.startswith("measured in one process; 2 share")
    assert folder.startswith("runs/shapes: at most ") and last.startswith("in all: ")


def test_a_dry_run_with_more_components_than_its_photos(tmp_path: Path) -> None:
    """As of three recipes: principal components of one region per photo, more than the photos that are tried."""
    command = ["train", "shapes", "data=shapes:300", *TINY, "train.batch_size=16", "train.average_checkpoints=3"]
    command += ["model.encoder.layer=pooled", "model.encoder.pca=64", "train.trainable_encoder_stages=0"]
    done = showtell(*command, "--dry-run", SHOWTELL_CACHE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("in all: ")


def test_a_dry_run_in_the_folder_of_another_run(tmp_path: Path) -> None:
    """What would refuse the run refuses its forecast."""
    command = ["train", "shapes", "data=shapes:60", *TINY, "--run", tmp_path / "run"]
    assert showtell(*command, SHOWTELL_CACHE=str(tmp_path / "cache")).returncode == 0
    done = showtell(*command, "train.lr=0.1", "--dry-run")
    assert done.returncode == 2 and "holds a run with other settings (train.lr" in done.stderr
