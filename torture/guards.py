"""Guards taken out one after another: some test goes red every time, and is green with the guard in its place.

    python -m torture.guards

A guard is a function that refuses something. In a forked process it is replaced by one that refuses nothing, and the
named tests are run. Two runs each, with and without the guard.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

from torture.harness import ROOT, Note, Tally, number_of_cases, report, run_chunks

IMAGE_LIMITS: Final = "tests/core/test_image_guards.py::test_limits_are_inclusive"
NO_TESTS: Final = 5
"""Exit code of pytest."""


class Guard(NamedTuple):
    place: str
    """`module:name`, where callers look it up; the name may have dots."""
    without: Any
    """What takes its place."""
    tests: tuple[str, ...]


def nothing(*_: Any, **__: Any) -> None:
    return None


def yes(*_: Any, **__: Any) -> bool:
    return True


def empty(*_: Any, **__: Any) -> tuple[Any, ...]:
    return ()


def same(value: Any) -> Any:
    return value


def _unsafe_yaml(text: str) -> Any:
    import yaml

    return yaml.unsafe_load(text)  # (what the guard is there for)


@contextlib.contextmanager
def _unlocked(*_: Any) -> Any:
    yield True


CORE, DATA = "showtell.core", "showtell.data"
GUARDS: Final[dict[str, Guard]] = {
    "pixels of an image": Guard(
        f"{CORE}.image:_check_pixels",
        nothing,
        ("tests/core/test_image.py::test_limits_are_inclusive_and_hold_for_every_kind_of_source",),
    ),
    "arrays of a reranker": Guard(
        f"{CORE}.reranker:_check", nothing, ("tests/core/test_reranker.py::test_arrays_that_do_not_fit_are_refused",)
    ),
    "smallest side of an image": Guard(
        f"{CORE}.image:_check_size", nothing, ("tests/core/test_image.py::test_limits_are_checked_before_decoding",)
    ),
    "bytes of a file": Guard(
        f"{CORE}.image_file:check_bytes",
        nothing,
        ("tests/core/test_image.py::test_bytes_limit_is_checked_before_reading",),
    ),
    "segments of a JPEG": Guard(f"{CORE}.image_jpeg:check_jpeg", nothing, (IMAGE_LIMITS,)),
    "chunks of a PNG": Guard(f"{CORE}.image_png:check_png", nothing, (IMAGE_LIMITS,)),
    "comments of a GIF": Guard(f"{CORE}.image_gif:check_gif", nothing, (IMAGE_LIMITS,)),
    "entries of a TIFF": Guard(f"{CORE}.image_tiff:check_tiff", nothing, (IMAGE_LIMITS,)),
    "commands of a BMP": Guard(
        f"{CORE}.image_bmp:check_bmp",
        nothing,
        ("tests/core/test_image_guards.py::test_costly_file_is_refused_at_little_cost[bmp of ends of rows]",),
    ),
    "coded pixels of AVIF and HEIC": Guard(
        f"{CORE}.image_avif_heic:coded_pixels", lambda file, meta: 0, ("tests/core/test_image_avif_heic.py",)
    ),
    "checksum of a PNG's pixels": Guard(
        f"{CORE}.image_png:_check_pixels",
        nothing,
        ("tests/core/test_image_png.py::test_pixels_of_another_checksum_are_damaged",),
    ),
    "what completes a JPEG": Guard(
        f"{CORE}.image_jpeg:Jpeg._differ_in_one_block",
        yes,
        ("tests/core/test_image_jpeg.py::test_a_jpeg_from_which_pixels_are_missing_is_truncated",),
    ),
    "errors of Pillow": Guard(
        f"{CORE}.image:_PILLOW_ERRORS", (), ("tests/core/test_image.py::test_damaged_files_give_bad_image_or_rgb",)
    ),
    "hashes of a bundle's files": Guard(
        f"{CORE}.bundle:_check", nothing, ("tests/core/test_bundle.py::test_one_flipped_bit_is_found",)
    ),
    "checksum of a manifest": Guard(
        f"{CORE}.bundle:manifest_checksum",
        lambda raw: raw.get("checksum"),
        ("tests/core/test_bundle.py::test_any_flipped_bit_of_the_manifest_is_found",),
    ),
    "tokenizer against network": Guard(
        f"{CORE}.bundle:_check_vocabulary",
        nothing,
        ("tests/core/test_bundle.py::test_a_tokenizer_of_another_model_is_found",),
    ),
    "a bundle's destination": Guard(
        f"{CORE}.bundle:check_destination",
        nothing,
        ("tests/core/test_bundle.py::test_writing_replaces_a_bundle_and_nothing_else",),
    ),
    "an edited model card": Guard(
        f"{CORE}.bundle:is_card_edited",
        lambda path: False,
        ("tests/core/test_bundle.py::test_an_edited_card_is_not_overwritten",),
    ),
    "YAML without objects": Guard(
        "showtell.config:yaml.safe_load", _unsafe_yaml, ("tests/test_config.py::test_bad_yaml",)
    ),
    "values of recipes in part": Guard(
        "showtell.config:_shown",
        lambda value: "x" * 5000,
        ("tests/test_config.py::test_a_value_of_a_thousand_million_items_is_shown_in_part",),
    ),
    "the end of a tar": Guard(
        f"{DATA}.shard_index:_check_end",
        nothing,
        ("tests/data/test_shards.py::test_a_tar_that_was_cut_is_not_a_shorter_one",),
    ),
    "the version of a remote photo": Guard(
        "showtell.remote.opened:ObjectPart._check_version",
        nothing,
        ("tests/data/test_remote_shards.py::test_a_photo_of_a_shard_that_has_changed_is_an_error",),
    ),
    "equal files in a data set": Guard(
        f"{DATA}.checks:exact_duplicates",
        empty,
        ("tests/data/test_checks.py::test_check_reads_images_to_their_end_and_finds_equal_files",),
    ),
    "photos that look the same in two splits": Guard(
        f"{DATA}.checks:near_duplicates",
        empty,
        ("tests/data/test_checks.py::test_the_same_photo_in_two_splits_is_found_by_its_looks",),
    ),
    "captions that are no sentences": Guard(
        f"{DATA}.checks:caption_problem",
        nothing,
        ("tests/data/test_checks.py::test_bad_captions_are_named_with_their_photo",),
    ),
    "control characters in messages": Guard(
        "showtell.terminal:escape",
        same,
        ("tests/test_terminal.py::test_what_commands_a_terminal_or_breaks_a_line_is_escaped",),
    ),
    "one run for each output": Guard(
        "showtell.bulk.run:locked",
        _unlocked,
        ("tests/bulk/test_run.py::test_a_second_run_is_refused_while_the_first_one_runs",),
    ),
    "the same settings when a run goes on": Guard(
        "showtell.bulk.run:check_same_run",
        nothing,
        ("tests/bulk/test_run.py::test_another_run_is_refused_by_what_differs",),
    ),
    "as many rows as inputs": Guard(
        "showtell.bulk.run:Summary.check",
        nothing,
        ("tests/bulk/test_run.py::test_a_summary_that_does_not_add_up_is_an_error",),
    ),
    "public addresses only": Guard("showtell.fetch.fetch:is_public", yes, ("tests/fetch/test_hostile.py::test_url",)),
    "listed hosts only": Guard(
        "showtell.fetch.fetch:is_allowed_host", yes, ("tests/fetch/test_hostile.py::test_host_that_is_not_listed",)
    ),
    "host names of a server": Guard(
        "showtell.serve.admission:AdmissionMiddleware._is_allowed_host",
        yes,
        ("tests/serve/test_admission.py::test_who_is_turned_away",),
    ),
    "requests of other sites": Guard(
        "showtell.serve.admission:AdmissionMiddleware._is_same_site",
        yes,
        ("tests/serve/test_admission.py::test_who_is_turned_away",),
    ),
    "the key of a server": Guard(
        "showtell.serve.admission:AdmissionMiddleware._has_key",
        yes,
        ("tests/serve/test_admission.py::test_without_the_key_nothing_is_open_but_health",),
    ),
    "time for a request": Guard(
        "showtell.serve.batcher:Batcher._check_time",
        nothing,
        ("tests/serve/test_batcher.py::test_more_photos_than_can_be_done_in_time_are_refused_with_how_many_can",),
    ),
    "places in the queue": Guard(
        "showtell.serve.batcher:Batcher._check_places",
        nothing,
        ("tests/serve/test_batcher.py::test_the_last_quarter_of_the_queue_is_for_clients_with_nothing_in_it",),
    ),
    "connections of a client": Guard(
        "showtell.serve.open_connections:OpenConnections.open",
        yes,
        ("tests/serve/test_connection.py::test_connections_are_counted_by_network_where_a_household_has_one",),
    ),
    "processes that train the same": Guard(
        "showtell.train.processes:Processes.check_same",
        nothing,
        ("tests/train/test_start_processes.py::test_another_recipe_or_other_data_in_another_process",),
    ),
    "requests at the same time": Guard(
        "showtell.serve.fair_limiter:FairLimiter.try_acquire",
        yes,
        ("tests/serve/test_admission.py::test_as_many_requests_as_are_allowed_and_health_besides",),
    ),
}


def exit_code(tests: Sequence[str], without: Guard | None) -> int:
    """Of pytest on these tests, in a forked process; the guard is taken out there."""
    child = os.fork()
    if child == 0:
        os._exit(_run(tests, without))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(tests: Sequence[str], without: Guard | None) -> int:
    import pytest

    os.chdir(ROOT)
    with open(os.devnull, "w") as silent:  # noqa: PTH123 (a device)
        os.dup2(silent.fileno(), 1)
        os.dup2(silent.fileno(), 2)
    try:
        if without is not None:
            take_out(without)
        options = ["-o", "addopts=--strict-markers --import-mode=importlib", "-q", "-x", "-p", "no:cacheprovider"]
        return int(pytest.main([*options, *tests]))
    except BaseException:  # noqa: BLE001 (the process ends here, whatever it was)
        return 99


def take_out(guard: Guard) -> None:
    module, _, name = guard.place.partition(":")
    *path, last = name.split(".")
    owner = functools.reduce(getattr, path, import_module(module))
    getattr(owner, last)  # a guard that has another name now is noticed
    setattr(owner, last, guard.without)


def check(name: str, tally: Tally, run: Callable[[Sequence[str], Guard | None], int] = exit_code) -> None:
    guard = GUARDS[name]
    tally.counts["guards"] += 1
    with_guard, without = run(guard.tests, None), run(guard.tests, guard)
    if with_guard != 0:
        tally.fail(name, f"exit code {with_guard} of its tests with the guard; expected 0")
    if without != 1:
        tally.fail(name, f"exit code {without} of its tests without {guard.place}; expected 1, a red test")


def chunk(number: int, note: Note) -> Tally:
    name, tally = list(GUARDS)[number], Tally()
    note(name)
    import tests.conftest  # noqa: F401 (what most tests need is imported once, before processes are forked)

    check(name, tally)
    return tally


def main() -> int:
    n = number_of_cases(__doc__, len(GUARDS))
    tally = run_chunks("guards", "torture.guards:chunk", range(min(n, len(GUARDS))))
    rows = [("guards taken out, one after another", tally.counts["guards"])]
    return report("guards", "Guards taken out", tally, rows)


if __name__ == "__main__":
    sys.exit(main())
