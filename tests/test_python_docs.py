"""The Python of README.md and docs/ runs as it stands."""

import shutil
from pathlib import Path

import pytest
from tests import skips
from tests.shell_blocks import PAGES, ROOT, fenced

OTHERS = {
    "from PIL import Image\nfrom transformers": "downloads a model of the hub",
    "from pycocoevalcap": "needs COCO's annotations; tests/metrics/test_evaluation.py compares with pycocoevalcap",
    "small_data = load_coco_data": "code of the course",
    "import time\nfrom pathlib": "a client of a server; tests/serve/test_docs.py",
}
"""Beginnings of blocks that are not run here."""
BLOCKS = {
    page.relative_to(ROOT).as_posix(): [text for language, _, text in fenced(page) if language == "python"]
    for page in PAGES
}
REFERENCES = {"a.jpg": ["a dog is running", "the dog runs"], "b.jpg": ["a red bus", "a bus on a road"]}


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if blocks])
def test_the_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "examples" / "dog.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"paths": ["photo.jpg"]}
    if page == "docs/coming_from/blip.md":
        pytest.importorskip("onnx", reason=skips.PACKAGES)
        from tests import tiny_bundle

        tiny_bundle.write(tmp_path / "blip", tmp_path / "parts", "a photo of a dog runs .", max_length=40)
    if page == "docs/metrics.md":
        from showtell.metrics import Evaluation

        candidates = {"a.jpg": "a dog runs", "b.jpg": "a bus"}
        names |= {"candidates": candidates, "references": REFERENCES, "other": Evaluation(candidates, REFERENCES)}
    own = [block for block in BLOCKS[page] if not block.startswith(tuple(OTHERS))]
    for block in own:
        exec(block, names)
    assert "captioner" not in names or names["caption"].text  # type: ignore[attr-defined]
    assert "row" not in names or names["row"].ok  # type: ignore[attr-defined]


def test_blocks_that_are_not_run_are_there() -> None:
    blocks = [block for page in BLOCKS.values() for block in page]
    assert [sum(block.startswith(other) for block in blocks) for other in OTHERS] == [1, 1, 1, 1]
