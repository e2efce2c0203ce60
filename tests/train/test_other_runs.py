"""What is refused before anything is computed: runs that do not fit the one that goes on from them."""

from pathlib import Path

import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.errors import BadConfig
from showtell.recipes import find_recipe
from showtell.settings import Recipe
from showtell.train.other_runs import check_other_runs
from showtell.train.run_folder import RunFolder
from showtell.train.state import TrainProgress

ATTENTION = ("model.decoder={kind: attention}",)
COMPANION = "model.encoder.companion={name: test_resnet}"


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), ["data=shapes:48", "train.epochs=3", *changes]), "test")


@pytest.fixture(autouse=True)
def three_epochs_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunFolder, "progress", lambda run: TrainProgress(epoch=3))


def other(folder: Path, *changes: str) -> str:
    folder.mkdir(exist_ok=True)
    RunFolder(folder / "other").open(recipe(*changes))
    return str(folder / "other")


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ((), ("model.decoder.width=32",), "model.decoder.width is 64 in .*, 32 here"),
        (("model.decoder.kind=attention",), (), "model.decoder.kind is 'attention' in .*, 'transformer' here"),
        ((), ("model.decoder.kind=attention",), "model.decoder.kind is 'transformer' in .*, 'attention' here"),
        ((), ("model.encoder.pixels.size=96",), "model.encoder.pixels is .* here"),
        (("text.languages=[en,ar]",), (), r"text.languages is \('en', 'ar'\) in .*, \('en',\) here"),
        ((), ("text.languages=[ar]",), r"text.languages is \('en',\) in .*, \('ar',\) here"),
        ((), ("text.languages=[en,ar]", "text.kind=bpe"), "text.kind is 'words' in .*, 'bpe' here"),
        ((), ("text.languages=[en,ar]", "model.decoder.width=32"), "model.decoder.width is 64 in .*, 32 here"),
        (
            (),
            ("text.languages=[en,ar]", "train.lora_rank=2"),
            "adapters cannot learn new words: expected train.lora_rank=0",
        ),
        ((COMPANION,), (), "model.encoder.companion is .* in .*, None here"),
        (ATTENTION, (*ATTENTION, COMPANION), "no model.encoder.companion; expected none here"),
        (
            ("model.encoder.pretrained=true", "train.trainable_encoder_stages=2"),
            ("model.encoder.pretrained=true", "train.trainable_encoder_stages=1"),
            "train.trainable_encoder_stages is 2 in .*, 1 here; expected at least 2",
        ),
        ((), ("text.max_length=77",), "larger of text.max_length and decode.max_length is .*, 77 here"),
        (("train.epochs=4",), (), "is not finished"),
    ],
    ids=str,
)
def test_a_run_to_begin_with(theirs: tuple[str, ...], ours: tuple[str, ...], message: str, tmp_path: Path) -> None:
    begin = f"train.start_from={other(tmp_path, *theirs)}"
    with pytest.raises(BadConfig, match=message):
        check_other_runs(recipe(begin, *ours))


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (("text.max_length=9", "decode.max_length=9"), ("text.max_length=12",), "at most 9 tokens, this run .*=12"),
        (
            ("model.encoder.name=features", "model.encoder.channels=4"),
            (),
            "has an encoder, the other precomputed features",
        ),
        (("train.epochs=4",), (), "is not finished"),
    ],
    ids=str,
)
def test_a_teacher(theirs: tuple[str, ...], ours: tuple[str, ...], message: str, tmp_path: Path) -> None:
    teachers = f"train.distillation.teachers=[{other(tmp_path, *theirs)}]"
    with pytest.raises(BadConfig, match=message):
        check_other_runs(recipe(teachers, *ours))


def test_what_fits_is_let_through(tmp_path: Path) -> None:
    path = other(tmp_path)
    check_other_runs(recipe(f"train.start_from={path}", "train.lr=0.1", "train.seed=3"))
    check_other_runs(recipe(f"train.distillation.teachers=[{path}]", "model.decoder.width=32"))
    # More trained stages than there: the frozen ones are those of timm. Fewer, where the cache goes by the weights.
    more = other(tmp_path / "more", "model.encoder.pretrained=true", "train.trainable_encoder_stages=2")
    check_other_runs(
        recipe(f"train.start_from={more}", "model.encoder.pretrained=true", "train.trainable_encoder_stages=3")
    )
    check_other_runs(recipe(f"train.start_from={path}", "train.trainable_encoder_stages=0"))
    check_other_runs(recipe(f"train.start_from={path}", "text.languages=[ar,en]", COMPANION))
    check_other_runs(recipe(f"train.start_from={path}", "model.decoder.dropout=0.4"))
    with pytest.raises(BadConfig, match="no run folder"):
        check_other_runs(recipe(f"train.start_from={tmp_path / 'nothing'}"))


def test_a_teacher_with_another_prompt(tmp_path: Path) -> None:
    text = "text={kind: imported, vocab_size: 40, imported: {bos_ids: [1], eos_id: 2, prompt: %s}}"
    path = other(tmp_path, text % "a")
    with pytest.raises(BadConfig, match="another prompt or other special tokens"):
        check_other_runs(recipe(f"train.distillation.teachers=[{path}]", text % "b"))
    check_other_runs(recipe(f"train.distillation.teachers=[{path}]", text % "a"))
