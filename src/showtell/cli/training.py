"""One training run, shared by `train` and `sweep`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from showtell.errors import BadConfig, Diverged

if TYPE_CHECKING:
    from showtell.progress import ProgressReporter
    from showtell.records import Sample
    from showtell.settings import Recipe
    from showtell.train.processes import Processes
    from showtell.train.run_folder import RunFolder


def check_is_complete(recipe: Recipe) -> None:
    """Raises BadConfig for a recipe without data, or without the model that it is to continue."""
    if recipe.text.kind == "imported" and recipe.text.imported is None:
        raise BadConfig(
            "train.start_from is missing; expected the model to go on from, such as train.start_from=blip, a folder "
            "that `showtell import` or `showtell export` has written"
        )
    if not recipe.data:
        known = f"; the recipe was made for {recipe.data_hint}" if recipe.data_hint else ""
        raise BadConfig(
            f"data is missing; expected what to train on, such as data=folder:photos or data=flickr:DIR{known}"
        )


def train_run(
    recipe: Recipe,
    folder: RunFolder,
    samples: Sequence[Sample],
    reporter: ProgressReporter,
    allow_changed_data: bool = False,
) -> bool:
    """Train to the end of the last epoch. `recipe` is resolved. Returns whether this is the first process of the run,
    the one that has something to say.

    Raises Interrupted on Ctrl-C, with the state saved, BadConfig when the folder has a run on other data, another
    process trains in it, or the processes of the run have other recipes or data, and what the parts raise."""
    from showtell.progress import ProgressReporter
    from showtell.train.launch import first_failure
    from showtell.train.processes import start_processes
    from showtell.train.same_start import check_same_start
    from showtell.train.stop_signal import Interrupted

    processes = start_processes(recipe.train)
    if not processes.is_first:
        reporter = ProgressReporter(quiet=True)
    lock = folder.lock() if processes.is_first else contextlib.nullcontext()
    with first_failure(processes.children), lock:
        check_same_start(processes, recipe, samples)
        is_new = processes.is_first and _open_folder(recipe, folder, samples, reporter, allow_changed_data)
        try:
            if processes.any_after_long_work(is_new):  # the first one reads all photos
                _train(recipe, folder, samples, reporter, processes)
        except (Interrupted, Diverged):  # in all processes
            processes.leave()
            if processes.is_first:  # where another one fails, the first takes its exit code
                raise
        else:
            processes.leave()
    return processes.is_first


def _open_folder(
    recipe: Recipe, folder: RunFolder, samples: Sequence[Sample], reporter: ProgressReporter, allow_changed_data: bool
) -> bool:
    """False when the run in it is finished."""
    if message := folder.recover():
        reporter.say(message)
    folder.open(recipe)
    is_finished = folder.finished(recipe)
    if message := folder.check_data(samples, is_finished, allow_changed_data):
        reporter.say(message)
    if is_finished:
        _complete(folder)
        reporter.say(f"{folder.path} is finished")
    return not is_finished


def _complete(folder: RunFolder) -> None:
    """What comes after the last save, and what a process that was killed at that moment has not done."""
    from showtell.view.curves import draw_curves

    for file in folder.best.parent.glob("epoch-*.safetensors"):  # kept for their mean
        file.unlink()
    log, curves = folder.log_file, folder.path / "curves.png"
    if log.exists() and not (curves.exists() and curves.stat().st_mtime >= log.stat().st_mtime):
        draw_curves(log, curves)


def _train(
    recipe: Recipe,
    folder: RunFolder,
    samples: Sequence[Sample],
    reporter: ProgressReporter,
    processes: Processes,
) -> None:
    from showtell.metrics import score
    from showtell.metrics.reward import CiderReward
    from showtell.train.out_of_memory import explain_out_of_memory
    from showtell.train.setup import build_trainer
    from showtell.view.curves import draw_curves

    with explain_out_of_memory():
        trainer = build_trainer(
            recipe,
            folder,
            samples,
            score,
            reporter,
            lambda run: draw_curves(run.log_file, run.path / "curves.png"),
            CiderReward,
            processes,
        )
        try:
            trainer.fit()
        finally:
            if trainer.board is not None:
                trainer.board.close()  # a sweep would accumulate open files


def best_epoch(recipe: Recipe, folder: RunFolder) -> str:
    """The best epoch, with its monitored score."""
    best = json.loads(folder.best_scores.read_text(encoding="utf-8"))
    monitor = recipe.train.monitor
    several = best.get("mean_of")
    which = f"mean of epochs {', '.join(map(str, several))}" if several else f"epoch {best['epoch']}"
    return f"{which}, dev {monitor} {best['scores'][monitor]:.4f}"
