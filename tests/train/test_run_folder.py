import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.failing_disk import FailingDisk, fail

from showtell import files
from showtell.config import apply_overrides, parse_recipe
from showtell.core.tokenizer import Tokenizer
from showtell.data.spec import read_samples
from showtell.errors import BadBundle, BadConfig, OutputError
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder, settings_that_differ
from showtell.train.state import TrainProgress, save_state


def recipe(*overrides: str) -> Recipe:
    return parse_recipe(apply_overrides({}, ["data=shapes:10", "text.languages=[en, ar]", *overrides]), "test")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "first")
    run.open(recipe())
    return run


def test_a_new_folder_holds_the_recipe_and_room_for_the_rest(folder: RunFolder) -> None:
    assert folder.recipe() == recipe()
    assert folder.state.parent.is_dir() and folder.best.parent.is_dir()
    assert not folder.state.exists()


def test_the_same_recipe_goes_on(folder: RunFolder) -> None:
    folder.state.write_bytes(b"state")
    before = folder.config.stat()
    RunFolder(folder.path).open(recipe())
    assert folder.state.read_bytes() == b"state"
    assert folder.config.stat().st_mtime_ns == before.st_mtime_ns


def test_settings_that_only_one_of_two_versions_knows() -> None:
    known = {"lr": 0.1, "ema": {"decay": None}, "none": {}}
    assert settings_that_differ({"lr": 0.1}, known) == "ema.decay is missing there, None here"
    assert settings_that_differ(known, {"lr": 0.1}, "in a", "in b") == "ema.decay is None in a, missing in b"
    assert settings_that_differ({"none": {}}, {}) == "sections without a setting"


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("train.epochs=3", "train.epochs is 10 there, 3 here"),
        ("data=flickr:DIR", "data is 'shapes:10' there, 'flickr:DIR' here"),
        ("text.languages=[en]", r"text.languages is \['en', 'ar'\] there, \['en'\] here"),
        ("model.encoder.timm_kwargs.a=1", "model.encoder.timm_kwargs.a is missing there, 1 here"),
        ("model.encoder.weights=w", "model.encoder.weights is None there, 'w' here"),
        ("model.decoder.kind=attention", "model.decoder.kind is 'transformer' there, 'attention' here"),
    ],
)
def test_another_recipe_is_refused_and_the_difference_named(folder: RunFolder, override: str, difference: str) -> None:
    folder.state.write_bytes(b"state")
    config = folder.config.read_bytes()
    with pytest.raises(BadConfig, match=rf"holds a run with other settings \({difference}\); give the same ones"):
        folder.open(recipe(override))
    assert folder.config.read_bytes() == config


def test_a_run_of_which_nothing_is_saved_gives_way(folder: RunFolder) -> None:
    Tokenizer.build(["a dog"], ["en", "ar"], 1).save(folder.tokenizer)
    folder.open(recipe("train.lr=0.5"))
    assert folder.recipe().train.lr == 0.5 and not folder.tokenizer.exists()


def test_an_interrupted_beginning_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    run = RunFolder(tmp_path)
    run.open(recipe())
    assert run.recipe() == recipe()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadConfig, match="cannot be made") as caught:
            RunFolder(path).open(recipe())
        assert "\n" not in str(caught.value)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no run folder \(no config.yaml\)"):
        RunFolder(tmp_path).recipe()


def test_a_config_that_was_spoilt(folder: RunFolder) -> None:
    folder.state.write_bytes(b"state")
    folder.config.write_text("train: {epoch: 3}")
    for read in (folder.recipe, lambda: folder.open(recipe())):
        with pytest.raises(BadConfig, match=r"train\.epoch is no setting; did you mean 'epochs'") as caught:
            read()
        assert str(folder.config) in str(caught.value)


@pytest.mark.parametrize(
    ("position", "finished"),
    [
        (TrainProgress(epoch=10), True),
        (TrainProgress(epoch=9, batch=5), False),
        (TrainProgress(epoch=4, stopped=True), True),
        (TrainProgress(), False),
    ],
)
def test_how_far_a_run_is(folder: RunFolder, position: TrainProgress, finished: bool) -> None:
    assert folder.progress() == TrainProgress() and not folder.finished(recipe())
    model = torch.nn.Linear(1, 1)
    save_state(folder.state, position, model, torch.optim.SGD(model.parameters()), None, {})
    assert folder.progress() == position and folder.finished(recipe()) is finished


def test_a_state_that_is_none(folder: RunFolder) -> None:
    folder.state.write_bytes(b"state")
    with pytest.raises(BadConfig, match="not a state of this run") as caught:
        folder.progress()
    assert "\n" not in str(caught.value)


def test_words(folder: RunFolder) -> None:
    with pytest.raises(BadBundle, match="no tokenizer"):
        folder.load_tokenizer()
    Tokenizer.build(["a dog"], ["en", "ar"], 1).save(folder.tokenizer)
    text = folder.load_tokenizer()
    assert text.languages == ("en", "ar") and text.tokens_to_ids(["dog"])


def test_the_log_grows_line_by_line(folder: RunFolder) -> None:
    folder.log(kind="train", loss=2.5)
    RunFolder(folder.path).log(kind="dev", caption="كلب")
    lines = folder.log_file.read_text(encoding="utf-8").splitlines()
    assert "كلب" in lines[1]
    entries = [json.loads(line) for line in lines]
    assert entries[0].pop("time") <= entries[1].pop("time")
    assert entries == [{"kind": "train", "loss": 2.5}, {"kind": "dev", "caption": "كلب"}]


def test_a_run_from_before_the_settings_were_renamed_is_refused_with_their_present_names(folder: RunFolder) -> None:
    text = folder.config.read_text(encoding="utf-8")
    folder.config.write_text(text.replace("beam_size:", "beam:").replace("max_grad_norm:", "clip:"), encoding="utf-8")
    with pytest.raises(BadConfig) as raised:
        folder.recipe()
    message = str(raised.value)
    assert message.startswith(f"{folder.config}: ") and "\n" not in message
    assert "train.clip is now train.max_grad_norm" in message and "decode.beam is now decode.beam_size" in message
    assert message.endswith("; an earlier version wrote this run: train it again")


def save(folder: RunFolder, progress: TrainProgress) -> None:
    model = torch.nn.Linear(1, 1)
    save_state(folder.state, progress, model, torch.optim.SGD(model.parameters()), None, {})


def test_a_new_run_records_its_data_and_the_same_data_go_on(folder: RunFolder) -> None:
    samples = read_samples("shapes:3", ("en", "ar"))
    assert folder.check_data(samples, is_finished=False) is None and folder.data.exists()
    save(folder, TrainProgress(epoch=1))
    before = folder.data.read_bytes()
    for is_finished in (False, True):
        assert folder.check_data(samples, is_finished) is None and folder.data.read_bytes() == before


@pytest.mark.parametrize(
    ("is_finished", "what", "otherwise"),
    [
        (False, "an unfinished run", "restore the data to resume, or add --allow-changed-data to go on"),
        (True, "a finished run", "or export the model as it is"),
    ],
)
def test_changed_data_are_refused_unless_allowed(
    folder: RunFolder, is_finished: bool, what: str, otherwise: str
) -> None:
    samples = read_samples("shapes:3", ("en", "ar"))
    folder.check_data(samples, is_finished=False)
    save(folder, TrainProgress(epoch=10 if is_finished else 1))
    before = folder.data.read_bytes()
    with pytest.raises(BadConfig) as caught:
        folder.check_data(samples[2:], is_finished)
    assert str(caught.value) == (
        f"{folder.path} holds {what} with other data: 1 photo gone (train-00000); give another folder to train on the "
        f"data as they are now, {otherwise}"
    )
    assert folder.data.read_bytes() == before
    said = folder.check_data(samples[2:], is_finished, allow_changes=True)
    assert said == f"{folder.path}: the data have changed: 1 photo gone (train-00000)"
    assert json.loads(folder.log_file.read_text())["changes"] == ["1 photo gone (train-00000)"]
    # A finished run was trained on the data that are recorded.
    assert (folder.data.read_bytes() == before) is is_finished
    if not is_finished:
        assert folder.check_data(samples[2:], is_finished) is None


def test_a_run_without_a_record_says_so_once_and_goes_on(folder: RunFolder) -> None:
    samples = read_samples("shapes:3", ("en", "ar"))
    save(folder, TrainProgress(epoch=1))
    said = folder.check_data(samples, is_finished=False)
    assert said is not None and "has no record of its data" in said
    assert folder.check_data(samples, is_finished=False) is None
    with pytest.raises(BadConfig, match="other data"):
        folder.check_data(samples[2:], is_finished=False)


def test_a_run_of_which_nothing_is_saved_takes_other_data(folder: RunFolder) -> None:
    samples = read_samples("shapes:3", ("en", "ar"))
    folder.check_data(samples, is_finished=False)
    folder.open(recipe())
    assert folder.check_data(samples[2:], is_finished=False) is None


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        with pytest.raises(BadConfig, match="another process trains in it; wait until it ends"), folder.lock():
            raise AssertionError
        assert folder.path.is_dir()
    with folder.lock():
        pass
    assert list(folder.path.iterdir()) == []


# --- what a process that was killed, or a disk, leaves


def save_two(folder: RunFolder) -> None:
    model = torch.nn.Linear(1, 1)
    for epoch in (1, 2):
        state = TrainProgress(epoch=epoch, step=10 * epoch)
        save_state(folder.state, state, model, torch.optim.SGD(model.parameters()), None, {}, folder.previous_state)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_whole_state_stays_and_what_a_killed_process_was_writing_goes(folder: RunFolder) -> None:
    assert folder.recover() is None  # nothing is saved yet
    save_two(folder)
    left = [file.parent / ".x.12345678.part" for file in (folder.config, folder.state, folder.best)]
    for file in left:
        file.touch()
    assert folder.recover() is None and folder.progress().epoch == 2
    assert not any(file.exists() for file in left)
    assert {file.name for file in folder.state.parent.iterdir()} == {folder.state.name, folder.previous_state.name}


@pytest.mark.parametrize("spoil", [flip, lambda file: file.write_bytes(b""), Path.unlink])
def test_a_damaged_state_gives_way_to_the_one_before_it(folder: RunFolder, spoil: Callable[[Path], object]) -> None:
    save_two(folder)
    spoil(folder.state)
    spoilt = folder.state.read_bytes() if folder.state.exists() else None
    assert folder.has_state()
    said = folder.recover()
    assert said is not None and said.startswith(f"{folder.state}: ") and "\n" not in said
    assert said.endswith("; going on from the state before it, epoch 2, step 10")
    assert folder.progress() == TrainProgress(epoch=1, step=10) and folder.recover() is None
    damaged = folder.state.with_name("state.damaged.safetensors")
    assert (damaged.read_bytes() if damaged.exists() else None) == spoilt


def test_two_damaged_states_are_refused(folder: RunFolder) -> None:
    save_two(folder)
    flip(folder.state)
    flip(folder.previous_state)
    with pytest.raises(
        BadConfig, match=r"not a state of this run \(.*\), nor is state\.previous\.safetensors \(.*\); rem"
    ):
        folder.recover()


def test_a_run_with_only_the_previous_state_is_no_new_run(folder: RunFolder) -> None:
    """Between the two renames of a save."""
    save_two(folder)
    folder.state.unlink()
    assert folder.progress().epoch == 1
    with pytest.raises(BadConfig, match="other settings"):
        folder.open(recipe("train.lr=0.5"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_keeps_the_state_and_the_log(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    save_two(folder)
    folder.log(kind="dev")
    before = folder.log_file.read_bytes()
    model = torch.nn.Linear(1, 1)
    for save_again in (
        lambda: folder.log(kind="train"),
        lambda: save_state(folder.state, TrainProgress(), model, torch.optim.SGD(model.parameters()), None, {}),
    ):
        with monkeypatch.context() as patch, pytest.raises(OutputError) as raised:
            patch.setattr(files, "disk", FailingDisk(1, "half", fail(number)))
            save_again()
        assert raised.value.exit_code == 3 and "\n" not in str(raised.value)
    assert folder.log_file.read_bytes() == before
    assert folder.recover() is None and folder.progress().epoch == 2
