"""Whole runs on drawn data, small enough for a test: resuming, choosing the best, stopping."""

import itertools
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.rounding import gamma, network_bound
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from showtell.config import apply_overrides, parse_recipe
from showtell.data.spec import read_samples
from showtell.errors import BadConfig, BadData
from showtell.metrics.reward import CiderReward
from showtell.nets.attention_decoder import AttentionDecoder
from showtell.nets.decoder import Decoder
from showtell.nets.transformer_decoder import TransformerDecoder
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.records import Sample
from showtell.settings import Recipe
from showtell.train.batches import PAD, Batch, batches
from showtell.train.loop import Trainer, _ema
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer
from showtell.train.state import TrainProgress
from showtell.train.stop_signal import Interrupted

TINY = [
    "data=shapes:48",
    "model.encoder.pixels.size=32",
    "model.encoder.timm_kwargs={output_stride: 16}",
    "model.decoder.width=16",
    "train.epochs=2",
    "train.batch_size=16",
    "train.views=2",
    "train.ema_decay=0.9",
    "train.unfreeze_encoder_at_epoch=1",
    "decode.beam_size=1",
    "decode.max_length=6",
]


DEV = 12
"""Photos of the dev split, of the 50 that shapes have at least: most of a tiny run would be their captions."""
SHORT = [
    "train.trainable_encoder_stages=0",
    "train.unfreeze_encoder_at_epoch=0",
    "train.ema_decay=0",
    "train.views=1",
    "train.warmup_ratio=0",
]
"""No encoder, no average, no augmentation: what is left is quick."""


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def cache(features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", features)


def recipe(*changes: str) -> Recipe:
    return parse_recipe(apply_overrides(find_recipe("shapes"), [*TINY, *changes]), "test")


def count_words(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str
) -> dict[str, float]:
    """A score that any caption has; training knows nothing of what it means."""
    assert set(captions) == set(references)
    return {"CIDEr": sum(len(c.split()) for c in captions.values()) / len(captions), "BLEU-4": 0.0}


class Sayings(ProgressReporter):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def trainer(folder: Path, settings: Recipe, score: object = count_words) -> Trainer:
    run = RunFolder(folder)
    run.open(settings)
    return build_trainer(settings, run, drawings(settings), score, Sayings(), lambda done: None, CiderReward)


def drawings(settings: Recipe) -> list[Sample]:
    samples = read_samples(settings.data, settings.text.languages)
    return [s for s in samples if s.split == "train"] + [s for s in samples if s.split == "dev"][:DEV]


def log(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_file(str(folder / "last" / "state.safetensors"))
    return {name: tensor for name, tensor in state.items() if not name.startswith("random.")}


DROPOUT = "model.decoder.dropout=0.1"
"""Makes the random generator matter to a resumed run."""
CHOICES: dict[str, list[str]] = {
    "transformer": [DROPOUT],
    "attention": ["model.decoder.kind=attention", DROPOUT],
    "hard attention": ["model.decoder.kind=attention", "model.decoder.hard=true", *SHORT],
    "recurrent, sgd": ["model.decoder.kind=recurrent", DROPOUT, "train.optimizer=sgd", "train.lr=0.1"],
    "adam, plateau": ["train.optimizer=adam", "train.schedule=plateau", *SHORT, "train.plateau_start_epoch=0"],
    "two batches a step": ["train.batch_size=8", "train.accumulate_grad_batches=2", DROPOUT, *SHORT],
    "scheduled sampling": ["train.teacher_forcing=0.8", "train.teacher_forcing_end=0.2", DROPOUT, *SHORT],
    "self-critical": ["train.self_critical.start_epoch=1", "train.self_critical.num_samples=3", *SHORT],
    "sampling per batch": ["train.teacher_forcing=0.5", "train.teacher_forcing_per=batch", *SHORT],
}
STOPS = [("transformer", 1), ("transformer", 3), ("attention", 4), *((choice, 4) for choice in list(CHOICES)[2:])]


def sinking(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    """No epoch is better than the first."""
    sinking.value -= 0.01
    return {"CIDEr": sinking.value, "BLEU-4": 0.0}


sinking.value = 0.0


def stop_after(run: Trainer, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C does."""
    step = run.step

    def step_then_stop(group: Sequence[Batch]) -> float:
        entropy = step(group)
        if run.progress.step == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return entropy

    monkeypatch.setattr(run, "step", step_then_stop)
    with pytest.raises(Interrupted):
        run.fit()


def test_a_run_with_sentences_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three batches of photos an epoch; with as many of sentences in the first, with one or two in the second."""
    (tmp_path / "sentences.txt").write_text("a zebra\nthe red circle is a wheel\nred\n", encoding="utf-8")
    settings = recipe(
        *SHORT,
        DROPOUT,
        f"train.text.files=[en={tmp_path}/sentences.txt]",
        "train.text.min_frequency=1",
        "train.text.epochs=2",
    )
    uninterrupted = trainer(tmp_path / "whole", settings)
    uninterrupted.fit()
    assert uninterrupted.progress.step == uninterrupted.total_steps == 6 + 5
    stop_after(trainer(tmp_path / "parts", settings), 8, monkeypatch)
    trainer(tmp_path / "parts", settings).fit()
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    tokenizer = RunFolder(tmp_path / "whole").load_tokenizer()
    assert tokenizer.decode(tokenizer.encode("a zebra wheel", "en")[1:-1]) == "a zebra wheel"


@pytest.mark.parametrize("choice, steps_before_the_stop", STOPS)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, choice: str, steps_before_the_stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: weights, average and optimiser. Three steps are an epoch."""
    settings = recipe(*CHOICES[choice], *(["train.epochs=3"] if "plateau" in choice else []))
    score = sinking if "plateau" in choice else count_words
    uninterrupted = trainer(tmp_path / "whole", settings, score)
    uninterrupted.fit()
    stopped = trainer(tmp_path / "parts", settings, score)
    if "plateau" in choice:
        steps_before_the_stop = 7  # behind the first fall
    stop_after(stopped, steps_before_the_stop, monkeypatch)
    assert stopped.progress.step == steps_before_the_stop
    resumed = trainer(tmp_path / "parts", settings, score)
    assert resumed.progress.step == steps_before_the_stop
    resumed.fit()
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    assert resumed.progress.step == uninterrupted.progress.step == 3 * settings.train.epochs
    if "plateau" in choice:
        assert resumed.progress.drops == uninterrupted.progress.drops == 2
    if "hard" in choice:
        assert whole["model.decoder.reward_baseline"] < 0


def test_the_handler_of_ctrl_c_is_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    trainer(tmp_path / "run", recipe("train.epochs=1")).fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_run_folder_has_what_the_design_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(run, recipe()).fit()
    assert parse_recipe(RunFolder(run).recipe().model_dump(mode="json"), "again") == recipe()
    assert [entry["epoch"] for entry in log(run, "dev")] == [1, 2]
    predictions = [
        json.loads(line) for line in (run / "predictions.dev.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(predictions) == DEV and all(row["references"] for row in predictions)
    assert list((run / "tensorboard").glob("events.*"))


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    values = iter([0.7, 0.2])
    run = trainer(tmp_path / "run", recipe(), lambda c, r, language: {"CIDEr": next(values), "BLEU-4": 0.0})
    kept: list[dict[str, torch.Tensor]] = []
    run.after_epoch = lambda folder: kept.append(load_file(str(folder.best)))
    run.fit()
    assert json.loads(RunFolder(tmp_path / "run").best_scores.read_text(encoding="utf-8"))["epoch"] == 1
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_the_averaged_weights_are_what_is_kept(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", recipe("train.epochs=1"))
    run.fit()
    assert run.ema is not None
    best = load_file(str(RunFolder(tmp_path / "run").best))
    average, own = run.ema.module.state_dict(), run.model.state_dict()
    assert all(torch.equal(best[name], average[name]) for name in best)
    assert not torch.equal(average["decoder.token_embedding.weight"], own["decoder.token_embedding.weight"])


def test_the_average_of_frozen_weights_is_themselves_and_of_trained_ones_torchs_own() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3).requires_grad_(False), nn.Linear(3, 3))
    found = AveragedModel(model, multi_avg_fn=_ema(model, 0.9))
    expected = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for _ in range(3):
        with torch.no_grad():
            for parameter in model[1].parameters():
                parameter += torch.randn_like(parameter)
        found.update_parameters(model)
        expected.update_parameters(model)
    for name, average in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], average)


def test_the_encoder_waits_for_its_epoch(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", recipe())
    convolution = next(run.model.encoder.trainable.parameters())
    history = [convolution.detach().clone()]
    run.after_epoch = lambda folder: history.append(convolution.detach().clone())
    run.fit()
    assert torch.equal(history[0], history[1]) and not torch.equal(history[1], history[2])


def test_other_settings_do_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").open(recipe())
    RunFolder(tmp_path / "run").state.write_bytes(b"state")
    with pytest.raises(BadConfig, match=r"train\.lr is 0\.003 there, 0\.5 here"):
        RunFolder(tmp_path / "run").open(recipe("train.lr=0.5"))


def test_data_without_a_dev_split_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.open(recipe())
    train_only = [s for s in read_samples("shapes:48", ("en",)) if s.split == "train"]
    with pytest.raises(BadData, match="'dev'"):
        build_trainer(recipe(), run, train_only, count_words, ProgressReporter(), lambda done: None)


# --- which epoch is best, and what follows


def values(name: str, *each: float) -> Callable[..., dict[str, float]]:
    """A score function that gives these, one after the other."""
    queue = iter(each)
    return lambda captions, references, language: {"CIDEr": 0.5, "BLEU-4": 0.1} | {name: next(queue)}


def test_the_chosen_figure_decides_in_a_run(tmp_path: Path) -> None:
    settings = recipe(*SHORT, "train.epochs=3", "train.monitor=BLEU-4", "train.max_images=16")
    run = trainer(tmp_path, settings, values("BLEU-4", 0.2, 0.4, 0.3))
    run.fit()
    about = json.loads(RunFolder(tmp_path).best_scores.read_text(encoding="utf-8"))
    assert (about["epoch"], about["scores"]["BLEU-4"]) == (2, 0.4)
    assert [line.endswith("(best)") for line in run.reporter.said if line.startswith("epoch")] == [True, True, False]


def test_a_figure_that_is_not_there(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe(*SHORT, "train.monitor=ROUGE-L", "train.max_images=16"))
    with pytest.raises(BadConfig) as caught:
        run.fit()
    assert str(caught.value) == "train.monitor: dev has no ROUGE-L; expected one of: CIDEr, BLEU-4, loss, top-5"


def test_a_run_stops_when_nothing_is_gained(tmp_path: Path) -> None:
    settings = recipe(*SHORT, "train.epochs=9", "train.early_stopping_patience=2", "train.max_images=16")
    scores = values("CIDEr", 0.2, 0.1, 0.3, 0.3, 0.2)  # as good as the best is no gain
    run = trainer(tmp_path, settings, scores)
    run.fit()
    assert run.progress.epoch == 5 and run.reporter.said[-2] == "no improvement in 2 epochs: stopped"
    again = trainer(tmp_path, settings, scores)
    before = weights(tmp_path)
    again.fit()  # asks for no further score
    assert again.progress == run.progress and len(log(tmp_path, "dev")) == 5
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(tmp_path).items())


def test_a_plateau_lowers_the_learning_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.train.loop.LOG_EVERY", 1)
    changes = ["train.schedule=plateau", "train.lr_factor=0.2", "train.lr=0.5", "train.epochs=6", "train.max_images=16"]
    run = trainer(tmp_path, recipe(*SHORT, *changes), values("CIDEr", 0.2, 0.1, 0.3, 0.2, 0.1, 0.1))
    run.fit()
    assert [entry["lr"] for entry in log(tmp_path, "train")] == pytest.approx([0.5, 0.5, 0.1, 0.1, 0.02, 0.004])
    assert [line for line in run.reporter.said if "no improvement" in line] == [
        "no improvement in 1 epochs: lr x 0.2",
        "no improvement in 1 epochs: lr x 0.2",
        "no improvement in 2 epochs: lr x 0.2",
        "no improvement in 3 epochs: lr x 0.2",
    ]


# --- a step


def together(one: Batch, other: Batch) -> Batch:
    """Both as one batch, a slot of any caption's length."""
    rows = [
        [slot[b, 0][slot[b, 0] != PAD] for slot in batch.slots]
        for batch in (one, other)
        for b in range(len(batch.images))
    ]
    nothing = torch.zeros(0, dtype=torch.long)
    slots = [
        pad_sequence([row[n] if n < len(row) else nothing for row in rows], batch_first=True, padding_value=PAD)
        for n in range(max(map(len, rows)))
    ]
    images, views = (np.concatenate([getattr(each, name) for each in (one, other)]) for name in ("images", "views"))
    return Batch(images, views, [slot.unsqueeze(1) for slot in slots], one.tokens + other.tokens)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_gradients_add_up_to_those_of_one_batch(
    tmp_path: Path, kind: str, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["train.batch_size=13", f"train.label_smoothing={smoothing}", "train.max_grad_norm=null"]
    run = trainer(tmp_path, recipe(*SHORT, *changes, f"model.decoder.kind={kind}", "model.decoder.dropout=0"))
    monkeypatch.setattr(run.optimizer, "step", lambda: None)
    plan = batches(run.train_set.photos, run.train_set.tokenizer, 13, 1, 0, 0)
    first, second = plan[0], min(plan, key=lambda batch: len(batch.images))
    assert len(first.images) > len(second.images) > 0 and first.tokens != second.tokens

    def gradients(group: list[Batch]) -> tuple[float, dict[str, Tensor]]:
        entropy = run.step(group)
        return entropy, {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}

    entropy, found = gradients([first, second])
    expected_entropy, expected = gradients([together(first, second)])
    assert entropy == pytest.approx(expected_entropy, rel=gamma(2 * (first.tokens + second.tokens)))
    assert found.keys() == expected.keys() == {n for n, p in run.model.named_parameters() if n.startswith("decoder.")}
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    bound = network_bound(layers=40, terms=first.tokens + second.tokens, magnitude=largest)  # forwards and backwards
    assert bound < largest / 1000  # a batch that counts too much, or an image too little, is a matter of a tenth
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=bound)


def test_accumulating_takes_fewer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five batches, two a step: the third step has one."""
    run = trainer(tmp_path, recipe(*SHORT, "train.batch_size=10", "train.accumulate_grad_batches=2", "train.epochs=1"))
    groups: list[int] = []
    step = run.step
    monkeypatch.setattr(run, "step", lambda group: [groups.append(len(group)), step(group)][1])
    run.fit()
    assert len(run.train_set.photos) == 48 and groups == [2, 2, 1]
    assert (run.progress.step, run.total_steps) == (3, 3)


@pytest.mark.parametrize("clip", ["1.0", "1e-3", "null"])
def test_the_norm_of_the_gradient_is_that_before_clipping(tmp_path: Path, clip: str) -> None:
    run = trainer(tmp_path, recipe(*SHORT, f"train.max_grad_norm={clip}", "train.max_images=16", "train.epochs=1"))
    run.fit()
    norm = torch.cat([p.grad.flatten() for p in run.model.parameters() if p.grad is not None]).norm()
    (entry,) = log(tmp_path, "train")
    if clip == "null":
        assert "grad_norm" not in entry and norm > 0.01
    else:
        assert entry["grad_norm"] > 0.01
        assert float(norm) == pytest.approx(min(float(clip), entry["grad_norm"]), rel=1e-2)


def test_teacher_forcing_falls_over_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["train.teacher_forcing=0.9", "train.teacher_forcing_end=0.4", "train.max_images=48"]
    run = trainer(tmp_path, recipe(*SHORT, *changes))
    seen: list[float] = []
    run.loss.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    run.fit()
    assert seen == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])


@pytest.mark.parametrize("kind, average", [("transformer", "0"), ("attention", "0.9")])
def test_a_compiled_run_is_the_same_run(
    tmp_path: Path, kind: str, average: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's tracer and no code made of it; resumed as well. Compiled code has torch's dropout, whose random
    numbers are others."""
    changes = [*SHORT, f"model.decoder.kind={kind}", f"train.ema_decay={average}", "train.optimizer=sgd"]
    changes += ["model.decoder.dropout=0"]
    for decoder in (AttentionDecoder, TransformerDecoder):  # compiled, slots are not taken together
        monkeypatch.setattr(decoder, "forward_slots", Decoder.forward_slots)
    trainer(tmp_path / "plain", recipe(*changes)).fit()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    settings = recipe(*changes, "train.compile=true")
    stop_after(trainer(tmp_path / "compiled", settings), 2, monkeypatch)
    trainer(tmp_path / "compiled", settings).fit()
    plain, compiled = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert plain.keys() == compiled.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-5, atol=1e-6)


# --- what the log says of dev


def test_dev_figures_equal_a_loop_over_words(tmp_path: Path) -> None:
    run = trainer(tmp_path, recipe(*SHORT, "train.epochs=1", "train.label_smoothing=0.1"))
    run.fit()
    (entry,) = log(tmp_path, "dev")
    surprise, hits = [], []
    decoder = run.model.decoder
    with torch.inference_mode():
        for i, photo in enumerate(run.validator.photos):
            memory = decoder.encode_memory(
                run.model.encoder.forward_trainable(run.validator.features.batch(np.array([i])))
            )
            for caption in photo.sample.captions:
                ids = run.train_set.tokenizer.encode(caption, "en", run.recipe.text.max_length)
                state = decoder.init_state(memory)
                for word, following in itertools.pairwise(ids):
                    logits, state, _ = decoder.step(torch.tensor([[word]]), memory, state)
                    chances = logits[0, 0].softmax(-1)
                    surprise.append(-float(chances[following].log()))
                    hits.append(int((chances > chances[following]).sum()) < 5)
    assert len({photo.sample.name for photo in run.validator.photos}) == DEV and len(hits) > 200
    assert entry["scores"]["loss"] == pytest.approx(
        np.mean(surprise), abs=network_bound(layers=20, terms=100, magnitude=20)
    )
    assert entry["scores"]["top-5"] == pytest.approx(np.mean(hits), abs=1e-4)


def test_a_signal_while_dev_is_captioned_is_not_forgotten(tmp_path: Path) -> None:
    """Of the last epoch, too: the state is whole then, but whoever pressed Ctrl-C wants nothing more begun. One that is
    killed while it captions has the epoch's steps."""
    run = RunFolder(tmp_path)
    saved: list[TrainProgress] = []

    def pressed(
        captions: Mapping[str, str], references: Mapping[str, Sequence[str]], language: str
    ) -> dict[str, float]:
        saved.append(run.progress())
        os.kill(os.getpid(), signal.SIGINT)
        return count_words(captions, references, language)

    with pytest.raises(Interrupted):
        trainer(tmp_path, recipe("train.epochs=1"), pressed).fit()
    assert [(progress.epoch, progress.step) for progress in saved] == [(0, 3)]
    assert run.progress().epoch == 1
    trainer(tmp_path, recipe("train.epochs=1")).fit()  # finished: nothing is left to do


def test_self_critical_training_raises_its_reward(tmp_path: Path) -> None:
    """By the reward alone, from a model that cross-entropy has taught; what is sampled is logged all the while."""
    changes = ["train.epochs=60", "train.lr=0.003", "train.schedule=constant", "train.label_smoothing=0", *SHORT]
    trainer(tmp_path, recipe(*changes, "train.self_critical.start_epoch=30", "train.self_critical.weight=1")).fit()
    lines = log(tmp_path, "train")
    assert [entry["epoch"] > 30 for entry in lines] == ["reward" in entry for entry in lines]
    sampled = [entry for entry in lines if "reward" in entry]
    assert sampled[-1]["reward"] > sampled[0]["reward"] + 0.05
    assert 8 < sampled[-1]["sampled_length"] < 14  # as long as before: it has not collapsed


def test_a_student_learns_from_its_teachers_alone(tmp_path: Path) -> None:
    """With all the weight on the teacher, the student's captions of the words become the teacher's."""
    quick = ["train.lr=0.003", "train.schedule=constant", *SHORT]
    trainer(tmp_path / "teacher", recipe("train.epochs=6", *quick)).fit()
    taught = ["train.epochs=8", f"train.distillation.teachers=[{tmp_path / 'teacher'}]", "train.distillation.weight=1"]
    student = trainer(tmp_path / "student", recipe(*taught, "train.seed=5", *quick))
    before = divergence(student)
    student.fit()
    assert divergence(student) < before / 4


def divergence(student: Trainer) -> float:
    """Kullback and Leibler's, per word, from the teachers' words to the student's, written out."""
    assert student.train_set.teachers is not None
    total, words = 0.0, 0
    student.loss.eval()
    for batch in batches(student.train_set.photos, student.train_set.tokenizer, 16, 1, 0, 0):
        theirs = student.train_set.teachers.log_probs(batch).double()
        with torch.no_grad():
            memory = student.model.decoder.encode_memory(
                student.model.encoder.forward_trainable(student.train_set.features.batch(batch.images))
            )
            own = []
            for slot in batch.slots:
                taught = student.model.decoder(slot[:, :, :-1].clamp(min=0), memory)
                own.append(student.model.decoder.logits(taught.hidden[slot[:, :, 1:] != PAD]))
        mine = torch.cat(own).double().log_softmax(-1)
        total, words = total + float((theirs.exp() * (theirs - mine)).sum()), words + len(mine)
    return total / words


def test_a_teacher_of_other_words_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path / "teacher", recipe("train.epochs=1", "data=shapes:16", "text.min_frequency=9", *SHORT)).fit()
    with pytest.raises(BadConfig, match="has another vocabulary than this run"):
        trainer(tmp_path / "student", recipe(f"train.distillation.teachers=[{tmp_path / 'teacher'}]", *SHORT))
    with pytest.raises(BadConfig, match="no run folder"):
        trainer(tmp_path / "other", recipe(f"train.distillation.teachers=[{tmp_path / 'none'}]", *SHORT))


def test_a_run_begins_with_another_ones_weights_and_words(tmp_path: Path) -> None:
    first = trainer(tmp_path / "first", recipe("train.epochs=1", *SHORT))
    first.fit()
    begin = f"train.start_from={tmp_path / 'first'}"
    second = trainer(tmp_path / "second", recipe(begin, "text.min_frequency=9", *SHORT))
    assert second.train_set.tokenizer.vocab_size == first.train_set.tokenizer.vocab_size
    best = load_file(str(tmp_path / "first" / "best" / "model.safetensors"))
    assert all(torch.equal(tensor, best[name]) for name, tensor in second.model.state_dict().items())
    with pytest.raises(BadConfig, match="does not fit the settings"):
        trainer(tmp_path / "third", recipe(begin, "model.decoder.width=32", *SHORT))


def test_a_run_goes_on_from_one_with_fewer_languages(tmp_path: Path) -> None:
    trainer(tmp_path / "first", recipe("train.epochs=1", *SHORT)).fit()
    changes = f"train.start_from={tmp_path / 'first'}", "text.languages=[en,ar]", "train.epochs=1"
    second = trainer(tmp_path / "second", recipe(*changes, *SHORT))
    best = load_file(str(tmp_path / "first" / "best" / "model.safetensors"))
    own = second.model.state_dict()
    assert all(
        torch.equal(own[name], best[name]) for name in own if "token_embedding" not in name and "output" not in name
    )
    before, now = (RunFolder(tmp_path / name).load_tokenizer() for name in ("first", "second"))
    (old,), (new,) = (tokenizer.tokens_to_ids(["circle"]) for tokenizer in (before, now))
    embedding = "decoder.token_embedding.weight"
    assert now.vocab_size > before.vocab_size and torch.equal(own[embedding][new], best[embedding][old])
    second.fit()
    assert set(log(tmp_path / "second", "dev")[0]["scores"]) >= {"en", "ar"}


def test_the_mean_of_the_best_epochs_is_kept_only_if_it_is_better(tmp_path: Path) -> None:
    values = iter([0.1, 0.5, 0.4, 0.6, 0.1, 0.5, 0.4, 0.3])

    def told(captions: Mapping[str, str], references: object, language: str) -> dict[str, float]:
        return {"CIDEr": next(values), "BLEU-4": 0.0}

    for folder, mean_is_better in (("better", True), ("worse", False)):
        run = tmp_path / folder
        trainer(run, recipe("train.epochs=3", "train.average_checkpoints=2", *SHORT), told).fit()
        about = json.loads((run / "best" / "scores.json").read_text(encoding="utf-8"))
        assert (about.get("mean_of") == [2, 3]) is mean_is_better
        assert about["scores"]["CIDEr"] == (0.6 if mean_is_better else 0.5)
        assert log(run, "mean")[0]["epochs"] == [2, 3]
        assert sorted(file.name for file in (run / "best").iterdir()) == ["model.safetensors", "scores.json"]
        last = weights(run)
        best = load_file(str(run / "best" / "model.safetensors"))
        assert not all(
            torch.equal(last[f"model.{name}"], best[name]) for name in best
        )  # the run itself goes on as it was
