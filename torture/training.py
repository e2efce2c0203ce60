"""Training that is killed: `python -m torture.training --n 1000`, from the root of the repository.

- kills: SIGKILL at `n` random moments, half of them while the state is saved, three to five in a run;
- operations: SIGKILL before, after and in the middle of every write, fsync and rename of a run's files;
- errors: a disk that is full, read-only or beyond its quota at each of them.

After each, the newest whole state is at most one checkpoint interval (here a step) behind, and the same command goes
on; in the end the best weights are bit for bit those of a run that nothing happened to. As many runs at once as the
machine has cores. What is done is kept in --work, and the same command goes on from there; a run with a problem is left
there, too. With a smaller `n`, operations and errors are an even selection.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tests.failing_disk import FailingDisk, Moment, fail

from showtell.core.machine import describe_machine
from showtell.errors import OutputError
from showtell.files import append_line, read_lines
from showtell.train.checked_file import damage
from showtell.train.run_folder import RunFolder
from showtell.train.state import KEYS, read_progress
from torture import trainee
from torture.harness import PROGRESS, RESULTS, sources_hash
from torture.trainee import STEPS, End

FULL = 1000
"""Kills at which every operation is tried as well."""
MOMENTS: tuple[Moment, ...] = ("before", "half", "after")
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
Trial = dict[str, Any]


class Reference:
    """The run that nothing happens to, and what it takes."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "reference"
        end = self._run()
        if not (work / "cache-is-filled").exists():  # by the first run, which had more to do
            end = self._run()
            (work / "cache-is-filled").touch()
        self.operations: list[str] = json.loads(trainee.operations_file(self.folder).read_text())
        times = {what: [seconds for seconds, name, _ in end.lines if name == what] for what in ("saving", "saved")}
        begins, ends = times["saving"], times["saved"]
        self.seconds_of = {
            "saving": statistics.median(after - before for before, after in zip(begins, ends, strict=True)),
            "saved": statistics.median(after - before for before, after in zip(ends, begins[1:], strict=False)),
        }
        """How long a save takes, and a step after it."""
        self.begin = next(seconds for seconds, what, _ in end.lines if what == "step")
        self.seconds = end.lines[-1][0]

    def _run(self) -> End:
        shutil.rmtree(self.folder, ignore_errors=True)
        end = trainee.run(self.folder, lambda end: None)
        if end.code != 0 or end.last("step") != STEPS:
            raise SystemExit(f"the run without kills ended with {end.code}: {end.errors}")
        return end

    def differing(self, folder: Path) -> list[str]:
        """What of another finished run is not as here; a moving time is no difference."""
        ours, others = RunFolder(self.folder), RunFolder(folder)
        found = []
        for name in ("best", "state"):
            one, other = (load_file(str(getattr(run, name))) for run in (ours, others))
            if one.keys() != other.keys() or any(not torch.equal(one[key], other[key]) for key in one):
                found.append(name)
        scores = [json.loads(run.best_scores.read_text(encoding="utf-8")) for run in (ours, others)]
        if scores[0] != scores[1]:
            found.append("scores")
        for line in read_lines(others.log_file):
            json.loads(line)
        left = [
            file.name for file in folder.rglob("*") if file.name.endswith(".part") or file.name.startswith("epoch-")
        ]
        return found + left


def random_kill(rng: random.Random, reference: Reference) -> Callable[[End], float | None]:
    """Before the first step, in one of the next two saves, or within as long as a step takes after one of them."""
    where = rng.choice(("beginning", "saving", "saving", "saved"))
    if where == "beginning":
        moment = rng.uniform(0, reference.begin)
        return lambda end: moment
    number, delay = rng.randrange(2), rng.uniform(0, reference.seconds_of[where])

    def kill_at(end: End) -> float | None:
        begun = [seconds for seconds, what, _ in end.lines if what == where]
        return begun[number] + delay if len(begun) > number else None

    return kill_at


def check_state(folder: Path, end: End, done: int) -> tuple[str | None, int, bool]:
    """After a kill: what is wrong, how many steps are lost, and whether the state before the newest is used. `done`:
    steps before this process began."""
    run = RunFolder(folder)
    step, fell_back = 0, False
    if run.has_state():
        problems = {
            state: damage(state, *KEYS) if state.exists() else "missing" for state in (run.state, run.previous_state)
        }
        whole = next((state for state, problem in problems.items() if problem is None), None)
        if whole is None:
            return f"no whole state: {problems}", 0, False
        step, fell_back = read_progress(whole).step, whole == run.previous_state
    lost = max(done, end.last("step")) - step
    return (f"{lost} steps lost" if lost > 1 else None), lost, fell_back


def finish(folder: Path, reference: Reference, trial: Trial) -> None:
    """Go on to the end, and compare."""
    end = trainee.run(folder, lambda end: None)
    trial["hangs"] += end.hung
    trial["cpu"] += end.cpu
    if end.code != 0:
        trial["problems"].append(f"resuming ended with {end.code}: {end.errors.strip()[-300:]}")
        return
    trial["differing"] = reference.differing(folder)


def new_trial(**about: Any) -> Trial:
    return {**about, "kills": 0, "hangs": 0, "lost": 0, "fell_back": 0, "cpu": 0.0, "problems": [], "differing": []}


def note(trial: Trial, folder: Path, end: End, done: int) -> int:
    """Write down what the end of a process has left. Returns the steps that are saved."""
    problem, lost, fell_back = check_state(folder, end, done)
    trial["lost"] = max(trial["lost"], lost)
    trial["fell_back"] += fell_back
    if problem is not None:
        trial["problems"].append(problem)
    return max(done, end.last("step")) - lost


def kills(index: int, count: int, seed: int, reference: Reference, folder: Path) -> Trial:
    """One run with `count` kills."""
    rng = random.Random(f"{seed} {index}")
    trial = new_trial(part="kills", index=index)
    done = 0
    while trial["kills"] < count:
        end = trainee.run(folder, random_kill(rng, reference))
        trial["hangs"] += end.hung
        trial["cpu"] += end.cpu
        if end.code == 0:  # it ended before the moment came
            break
        if end.code != -signal.SIGKILL:
            trial["problems"].append(f"ended with {end.code}: {end.errors.strip()[-300:]}")
            break
        trial["kills"] += 1
        done = note(trial, folder, end, done)
    finish(folder, reference, trial)
    return trial


def operation(at: int, moment: Moment, number: int | None, reference: Reference, folder: Path) -> Trial:
    """One run that dies, or whose disk fails with error `number`, at that operation."""
    disk = FailingDisk(at, moment, trainee.die if number is None else fail(number))
    trial = new_trial(part="operations" if number is None else "errors", at=at, moment=moment, error=number)
    end = trainee.run(folder, lambda end: None, disk)
    trial["hangs"] += end.hung
    trial["cpu"] += end.cpu
    trial["kills"] += end.code == -signal.SIGKILL
    expected = -signal.SIGKILL if number is None else OutputError.exit_code
    if end.code != expected:
        trial["problems"].append(f"ended with {end.code}, expected {expected}: {end.errors.strip()[-300:]}")
    if number is not None:
        said = [line for line in end.errors.splitlines() if line.startswith("showtell: ")]
        if len(said) != 1 or os.strerror(number) not in said[0] or "Traceback" in end.errors:
            trial["problems"].append(f"said {end.errors.strip()[-300:]}")
    note(trial, folder, end, 0)
    finish(folder, reference, trial)
    return trial


def every_operation(n: int, reference: Reference) -> Iterator[tuple[int, Moment, int | None]]:
    """Operation, moment, and the number of the error or None for a kill; an even selection with `n` below FULL."""
    moments = [
        (at, moment)
        for at, name in enumerate(reference.operations, 1)
        for moment in MOMENTS
        if moment != "half" or name in ("write", "append")
    ]
    step = max(1, FULL // n)
    yield from ((at, moment, None) for at, moment in moments[::step])
    yield from ((at, moment, ERRORS[at % len(ERRORS)]) for at, moment in moments[::step] if moment != "after")


def one_trial(key: str, do: Callable[[Path], Trial], work: Path) -> Trial:
    folder = work / "runs" / key.replace(" ", "-")
    remove(folder)  # that of an interrupted trial
    begun = time.monotonic()
    trial = {"key": key, **do(folder), "seconds": round(time.monotonic() - begun, 2)}
    if not is_faulty(trial):
        remove(folder)
    return trial


def remove(folder: Path) -> None:
    """With what the trainee leaves beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in folder.parent.glob(f"{folder.name}.*"):
        file.unlink()


def is_faulty(trial: Trial) -> bool:
    return bool(trial["problems"] or trial["differing"] or trial["hangs"])


class Trials:
    """Trials at once, and the log of those that are done."""

    def __init__(self, work: Path, executor: Executor, say: Callable[[str], object]) -> None:
        self._work, self._executor, self._say = work, executor, say
        (work / "runs").mkdir(parents=True, exist_ok=True)
        self._log = work / "trials.jsonl"
        self._known: dict[str, Trial] = {}
        if self._log.exists():
            self._known = {trial["key"]: trial for trial in map(json.loads, read_lines(self._log))}

    def run(self, part: str, tasks: Mapping[str, Callable[[Path], Trial]]) -> list[Trial]:
        """In the order of `tasks`; those that an earlier call did are not done again."""
        left = {key: do for key, do in tasks.items() if key not in self._known}
        running = [self._executor.submit(one_trial, key, do, self._work) for key, do in left.items()]
        try:
            for done, future in enumerate(as_completed(running), 1):
                self._note(future.result())
                if done % max(1, len(running) // 20) == 0 or done == len(running):
                    self._say(f"{part}: {len(tasks) - len(running) + done}/{len(tasks)}")
        except BaseException:
            self._executor.shutdown(wait=False, cancel_futures=True)
            raise
        return [self._known[key] for key in tasks]

    def _note(self, trial: Trial) -> None:
        append_line(self._log, json.dumps(trial))
        self._known[trial["key"]] = trial
        if is_faulty(trial):
            self._say(json.dumps(trial))


def torture(n: int, seed: int, work: Path, executor: Executor, say: Callable[[str], object]) -> list[Trial]:
    """All trials; those that an earlier call did are read from `work`."""
    trials = Trials(work, executor, say)
    os.environ["SHOWTELL_CACHE"] = str(work / "cache")
    reference = Reference(work)
    say(
        f"a run: {reference.seconds:.2f} s, {STEPS} steps, {len(reference.operations)} operations, a save "
        f"{1000 * reference.seconds_of['saving']:.0f} ms"
    )
    found = trials.run(
        "operations and errors",
        {
            f"operation {at} {moment} {error}": partial(operation, at, moment, error, reference)
            for at, moment, error in every_operation(n, reference)
        },
    )
    killed: list[Trial] = []
    while (left := n - sum(trial["kills"] for trial in killed)) > 0:  # a run may end before the moment of its last kill
        counts = kill_counts(left, len(killed), seed)
        tasks = {
            f"kills {seed} {index} {count}": partial(kills, index, count, seed, reference)
            for index, count in counts.items()
        }
        killed += trials.run("kills", tasks)
    return killed + found


def kill_counts(n: int, begin: int, seed: int) -> dict[int, int]:
    """Of each run, by its number: three to five kills, `n` together."""
    counts: dict[int, int] = {}
    while n > 0:
        index = begin + len(counts)
        counts[index] = min(n, random.Random(f"{seed} {index} count").randint(3, 5))
        n -= counts[index]
    return counts


def table(trials: list[Trial]) -> list[dict[str, Any]]:
    rows = []
    for part in ("kills", "operations", "errors"):
        mine = [trial for trial in trials if trial["part"] == part]
        rows.append(
            {
                "part": part,
                "runs": len(mine),
                "kills": sum(trial["kills"] for trial in mine),
                "runs with 3 kills or more": sum(trial["kills"] >= 3 for trial in mine),
                "runs with a problem": sum(bool(trial["problems"]) for trial in mine),
                "hangs": sum(trial["hangs"] for trial in mine),
                "steps lost at most": max((trial["lost"] for trial in mine), default=0),
                "went on from the state before": sum(trial["fell_back"] for trial in mine),
                "ends otherwise": sum(bool(trial["differing"]) for trial in mine),
                "seconds": round(sum(trial["seconds"] for trial in mine)),
                "of the processor": round(sum(trial["cpu"] for trial in mine), 1),
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=FULL, help="random kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=PROGRESS / f"training-{sources_hash()}")
    parser.add_argument("--results", type=Path, default=RESULTS / "training.jsonl", help="a line is appended")
    options = parser.parse_args()
    # Forked, as the trainees are, before this process has threads.
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as executor:
        rows = table(torture(options.n, options.seed, options.work, executor, partial(print, flush=True)))
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")
    entry = {
        "date": time.strftime("%F"),
        "n": options.n,
        "seed": options.seed,
        "parts": rows,
        "load": os.getloadavg()[0],
        "machine": describe_machine(),
    }
    options.results.parent.mkdir(exist_ok=True)
    append_line(options.results, json.dumps(entry))
    return int(any(row["runs with a problem"] or row["hangs"] or row["ends otherwise"] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
