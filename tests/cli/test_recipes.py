"""`showtell recipes`, as it is typed."""

import builtins
import sys
from pathlib import Path

import pytest
import yaml
from tests import skips
from typer.testing import CliRunner

from showtell.cli.main import app
from showtell.config import parse_recipe
from showtell.install import install_hint
from showtell.recipes import find_recipe, names


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["recipes", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_list_has_a_line_for_each() -> None:
    lines = run().splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert "ConvNeXt and an LSTM with soft attention, on COCO." in lines[names().index("convnext-lstm")]


def test_one_is_explained() -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    text = run("imgcap-lstm")
    assert "source: The system without attention of a public Flickr30k project" in text
    assert "made for: csv:results.csv,IMAGES (Flickr30k)" in text
    assert "parameters, with 4,096 words (text.vocab_size)\n" in text
    assert "part                             trainable        frozen         total\n" in text
    assert "total                           29,383,680    23,508,032    52,891,712" in text


def test_settings_and_vocabulary_change_the_table() -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    other = ["model.encoder=mobilenetv2_100", "model.encoder.layer=pooled", "model.encoder.pca=300"]
    text = run("bottomup-lstm", *other, "--vocabulary", "1005")
    assert "parameters, with 1,005 words (--vocabulary)" in text
    # 212 channels less into the first state of 512; one word more in the embedding of 256 and the output of 512 + 1.
    trained = 2_609_644 - 212 * 512 + 256 + 513
    assert f"total                       {trained:>14,}{1_811_712:>14,}" in text


def test_words_that_nothing_sets_are_assumed_and_said() -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    assert "parameters, with 10,000 words (assumed: " in run("convnext-lstm")


def test_a_wrong_encoder_prints_nothing_but_the_mistake() -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    done = CliRunner().invoke(app, ["recipes", "convnext-lstm", "model.encoder=convnext_smal"])
    assert done.stdout == "" and "did you mean 'convnext_small'?" in str(done.exception)


def test_yaml_alone_is_a_recipe() -> None:
    raw = yaml.safe_load(run("flickr8k-lstm", "--yaml", "train.epochs=3"))
    assert raw["train"]["epochs"] == 3
    raw["train"]["epochs"] = 50
    assert parse_recipe(raw, "printed") == parse_recipe(find_recipe("flickr8k-lstm"), "flickr8k-lstm")


def test_without_torch_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: object) -> object:
        if name == "torch" or name.startswith("showtell.nets"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *arguments)

    for module in [m for m in sys.modules if m.startswith("showtell.nets")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", absent)
    text = run("imgcap-lstm")
    assert f"no table of parameters: this needs torch, which is not installed; {install_hint('train')}\n" in text
    assert "made for: csv:results.csv" in text and "kind: letters" in text


def test_a_recipe_for_any_model_says_whose_it_takes() -> None:
    text = run("finetune")
    assert "no table of parameters: model and text are those of train.start_from; give it" in text
    assert "made for: folder:my-photos, with train.start_from=MODEL\n" in text
    for command in ("train", "sweep"):
        done = CliRunner().invoke(
            app, [command, "finetune", "data=folder:photos", "train.lr=0.1,0.2"][: 3 + (command == "sweep")]
        )
        assert str(done.exception).startswith("train.start_from is missing; expected the model to go on from")


def test_with_a_model_its_parameters_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    from tests.train.tiny_bundles import write_imported

    text = run("finetune", f"train.start_from={write_imported(tmp_path / 'blip')}")
    assert "words (text.vocab_size)" in text and "name: test_resnet" in text and "takes_prompt: true" in text


def test_a_recipe_without_data_says_what_it_was_made_for() -> None:
    done = CliRunner().invoke(app, ["train", "flickr8k-lstm"])
    assert str(done.exception).startswith("data is missing")
    assert str(done.exception).endswith("made for flickr:DIR, or csv:captions.txt,Images (Kaggle)")
