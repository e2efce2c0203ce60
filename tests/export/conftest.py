"""Exported once for all tests of this folder."""

from pathlib import Path

import pytest
from tests.export.tiny_runs import DECODERS, make_run

from showtell.export.bundle import export_run
from showtell.train.run_folder import RunFolder


@pytest.fixture(scope="session", params=DECODERS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    """A run and its bundle."""
    folder = tmp_path_factory.mktemp(request.param)
    run = make_run(folder / "run", request.param)
    parity = export_run(run.path, folder / "bundle")
    assert parity.same == parity.images == 8
    return run, folder / "bundle"
