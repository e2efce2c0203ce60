"""One model of twelve scripts: ten drawn scenes are learned by heart, and come back word for word by every way out.

Each command is the one a user types, in this process. A photo has captions in some of the languages only.
"""

import csv
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from tests import skips
from tests.cli.in_process import showtell

from showtell.languages import is_right_to_left, language_info
from showtell.languages.scripts import script_name, scripts_of
from showtell.view import typefaces
from showtell.view.typefaces import FontBook

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "timm", "onnx")), reason=skips.PACKAGES
)

COLOURS = ("red", "green", "blue", "gold", "black")
SHAPES = ("circle", "square")
# A sentence, its shapes, and for each shape, whose gender some languages follow, the colours in the order of COLOURS.
GRAMMAR: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "cs": (
        "na obrázku je {colour} {shape}",
        {"circle": "kruh", "square": "čtverec"},
        dict.fromkeys(SHAPES, "červený zelený modrý žlutý černý"),
    ),
    "ar": (
        "في الصورة {shape} {colour}",
        {"circle": "دائرة", "square": "مربع"},
        {"circle": "حمراء خضراء زرقاء صفراء سوداء", "square": "أحمر أخضر أزرق أصفر أسود"},
    ),
    "he": (
        "בתמונה יש {shape} {colour}",
        {"circle": "עיגול", "square": "ריבוע"},
        dict.fromkeys(SHAPES, "אדום ירוק כחול צהוב שחור"),
    ),
    "hi": (
        "चित्र में एक {colour} {shape} है",
        {"circle": "वृत्त", "square": "वर्ग"},
        dict.fromkeys(SHAPES, "लाल हरा नीला पीला काला"),
    ),
    "bn": (
        "ছবিতে একটি {colour} {shape} আছে",
        {"circle": "বৃত্ত", "square": "বর্গ"},
        dict.fromkeys(SHAPES, "লাল সবুজ নীল হলুদ কালো"),
    ),
    "th": (
        "ในภาพมี{shape}สี{colour}",
        {"circle": "วงกลม", "square": "สี่เหลี่ยม"},
        dict.fromkeys(SHAPES, "แดง เขียว น้ำเงิน เหลือง ดำ"),
    ),
    "zh-Hans": (
        "图中有一个{colour}色的{shape}",
        {"circle": "圆形", "square": "方形"},
        dict.fromkeys(SHAPES, "红 绿 蓝 黄 黑"),
    ),
    "ja": (
        "{colour}{shape}があります",
        {"circle": "まる", "square": "しかく"},
        dict.fromkeys(SHAPES, "あかい みどりの あおい きいろい くろい"),
    ),
    "ko": (
        "그림에 {colour} {shape} 있다",
        {"circle": "원이", "square": "사각형이"},
        dict.fromkeys(SHAPES, "빨간 초록 파란 노란 검은"),
    ),
    "ru": (
        "на картинке {colour} {shape}",
        {"circle": "круг", "square": "квадрат"},
        dict.fromkeys(SHAPES, "красный зелёный синий жёлтый чёрный"),
    ),
    "el": (
        "στην εικόνα υπάρχει {colour} {shape}",
        {"circle": "κύκλος", "square": "τετράγωνο"},
        {"circle": "κόκκινος πράσινος μπλε κίτρινος μαύρος", "square": "κόκκινο πράσινο μπλε κίτρινο μαύρο"},
    ),
    "am": (
        "በሥዕሉ ላይ {colour} {shape} አለ",
        {"circle": "ክብ", "square": "ካሬ"},
        dict.fromkeys(SHAPES, "ቀይ አረንጓዴ ሰማያዊ ቢጫ ጥቁር"),
    ),
}
SCENES = [(shape, colour) for shape in SHAPES for colour in COLOURS]
COPIES = 24
"""Of each scene, so that an epoch, after which the model is validated, has some steps."""
FEW_CHANGES = [
    "train.epochs=7",
    "train.batch_size=10",
    "train.lr=0.004",
    "train.encoder_lr=0.004",
    "text.max_length=30",
    "decode.max_length=30",
    "decode.beam_size=1",
    f"text.languages=[{','.join(GRAMMAR)}]",
]


def sentence(language: str, scene: int) -> str:
    shape, colour = SCENES[scene]
    pattern, shapes, colours = GRAMMAR[language]
    return pattern.format(shape=shapes[shape], colour=colours[shape].split()[COLOURS.index(colour)])


def draw(path: Path, scene: int) -> None:
    shape, colour = SCENES[scene]
    picture = Image.new("RGB", (48, 48), "white")
    drawing = ImageDraw.Draw(picture)
    (drawing.ellipse if shape == "circle" else drawing.rectangle)((10, 10, 38, 38), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos/0.png` to `photos/9.png`, and `bundle`, the model that knows them."""
    folder = tmp_path_factory.mktemp("scripts")
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "language", "split"])
        for scene in range(len(SCENES)):
            draw(folder / "photos" / f"{scene}.png", scene)
            for language in GRAMMAR:
                rows.writerow([f"photos/{scene}.png", sentence(language, scene), language, "dev"])
            for copy in range(COPIES):
                draw(folder / "train" / f"{scene}-{copy}.png", scene)
                for number, language in enumerate(GRAMMAR):
                    if (number + copy) % 3:  # each photo without a third of the languages
                        rows.writerow([f"train/{scene}-{copy}.png", sentence(language, scene), language, "train"])
    environment = {"SHOWTELL_CACHE": str(folder / "cache")}
    trained = showtell("train", "shapes", "data=csv:captions.csv", *FEW_CHANGES, cwd=folder, **environment)
    assert trained.returncode == 0, trained.stderr
    exported = showtell("export", "runs/shapes", "bundle", cwd=folder, **environment)
    assert exported.returncode == 0, exported.stderr
    return folder


@pytest.fixture(autouse=True)
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """But the package's own, whatever this machine has."""
    book = FontBook([])
    monkeypatch.setattr(typefaces, "book", lambda: book)


@pytest.mark.parametrize("language", GRAMMAR)
def test_scenes_are_told_in_every_script_on_the_terminal_in_rows_and_in_pictures(folder: Path, language: str) -> None:
    photos = [f"photos/{scene}.png" for scene in range(len(SCENES))]
    options = ["--model", "bundle", "--lang", language]
    printed = showtell("caption", *photos, *options, cwd=folder)
    assert (printed.returncode, printed.stderr) == (0, "")
    expected = [f"{photo}\t{sentence(language, scene)}" for scene, photo in enumerate(photos)]
    assert printed.stdout.splitlines() == expected

    outputs = ["--output", f"{language}.jsonl", "--attention", f"attention-{language}"]
    drawn = showtell("caption", photos[0], *options, *outputs, cwd=folder)
    assert drawn.returncode == 0
    (row,) = [json.loads(line) for line in (folder / f"{language}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (row["caption"], row["language"], row["attention"]) == (sentence(language, 0), language, "0")
    words = [word for word, _ in row["words"]]
    assert "".join(words) == row["caption"].replace(" ", "") and len(words) > 3
    assert (words == row["caption"].split()) != language_info(language).is_unspaced
    with Image.open(folder / f"attention-{language}" / "0.attention.png") as sheet:
        assert sheet.width == 1600
    with Image.open(folder / f"attention-{language}" / "0.attention.webp") as film:
        assert film.n_frames == len(words) + 1  # type: ignore[attr-defined]
    # The package's font has two scripts; of every other one it is said that its letters are boxes.
    said = [line for line in drawn.stderr.splitlines() if "--attention" in line]
    if scripts_of(row["caption"]) <= {"Latn", "Arab"}:
        assert said == []
    else:
        (line,) = said
        assert all(script_name(script) in line for script in scripts_of(row["caption"]))


def test_a_language_of_no_caption_names_those_of_the_model(folder: Path) -> None:
    done = showtell("caption", "photos/0.png", "--model", "bundle", "--lang", "sw", cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert all(language in done.stderr for language in GRAMMAR)


# ---- the page ----


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Any]:
    pytest.importorskip("fastapi", reason=skips.PACKAGES)
    from tests.serve.page_window import Running

    from showtell import Captioner
    from showtell.serve.limits import Limits

    running = Running(Captioner.load(folder / "bundle", threads=1), Limits(batch_delay=0))
    yield running
    running.stop()


def test_the_page_has_every_language_and_tells_scenes_in_it(server: Any, browser: Any, folder: Path) -> None:
    from tests.serve.page_window import Page

    window = Page(browser, server)
    options = window.page.eval_on_selector_all("option", "all => all.map(({ value, dir, text }) => [value, dir, text])")
    assert [code for code, *_ in options] == list(GRAMMAR)
    for code, direction, name in options:
        assert direction == ("rtl" if is_right_to_left(code) else "ltr")
        assert name == {"zh-Hans": "简体中文"}.get(code, language_info(code).name)
    window.choose((folder / "photos" / "3.png").read_bytes())
    window.captioned()
    for language in [*GRAMMAR][::-1]:  # the first one is what it begins with
        window.page.select_option("select[name=language]", language)
        window.page.wait_for_selector(f".words[data-language={language}]")
        window.captioned()
        assert window.page.get_attribute(".image", "alt") == sentence(language, 3)
        assert window.page.get_attribute(".image", "lang") == language
    assert not window.complaints
    window.context.close()
