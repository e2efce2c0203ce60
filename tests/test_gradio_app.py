"""examples/gradio_app.py. Gradio itself, some 200 MB with what it needs, is no dependency of showtell's: in its place
stands a module that records what the example makes of it, so that the example is run with a true photo and model."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from showtell import Captioner

EXAMPLES = Path(__file__).parents[1] / "examples"


class GradioError(Exception):
    """In place of gradio.Error."""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    def component(kind: str) -> Any:
        return lambda *args, **options: SimpleNamespace(kind=kind, args=args, **options)

    gradio = ModuleType("gradio")
    gradio.Error = GradioError  # type: ignore[attr-defined]
    gradio.Interface = lambda fn, **options: SimpleNamespace(fn=fn, **options)  # type: ignore[attr-defined]
    for kind in ("Image", "Radio", "Label"):
        setattr(gradio, kind, component(kind))
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    spec = importlib.util.spec_from_file_location("gradio_app", EXAMPLES / "gradio_app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_captions_a_photo_in_each_language(app: ModuleType) -> None:
    photo, radio = app.demo.inputs
    assert (photo.kind, photo.type) == ("Image", "filepath")
    assert radio.args == (["en", "ar", "de"],) and radio.value == "en" and app.demo.outputs.kind == "Label"
    for language in radio.args[0]:
        captions = app.demo.fn(str(EXAMPLES / "dog.jpg"), language)
        best = Captioner.load().caption(EXAMPLES / "dog.jpg", language=language)
        assert len(captions) == 3 and next(iter(captions)) == best.text
        assert captions[best.text] == pytest.approx(best.confidence)


def test_what_is_no_photo_is_told(app: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(GradioError, match=r"This photo cannot be used: .*expected"):
        app.demo.fn(str(tmp_path / "notes.txt"), "en")
    with pytest.raises(GradioError, match="Give it a photo first"):
        app.demo.fn(None, "en")


def test_it_stays_an_example() -> None:
    lines = (EXAMPLES / "gradio_app.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 25
