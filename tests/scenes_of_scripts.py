"""Ten drawn scenes with captions in thirteen scripts, for a model that learns them by heart."""

import csv
from itertools import product
from pathlib import Path

from showtell.data.scenes import Scene, Thing
from showtell.data.shapes import draw

COLOURS = ("red", "green", "blue", "yellow", "black")
SHAPES = ("circle", "square")

# For each shape, one caption for each colour.
CAPTIONS: dict[str, tuple[list[str], list[str]]] = {
    "en": ([f"a {c} circle" for c in COLOURS], [f"a {c} square" for c in COLOURS]),
    "vi": tuple(
        [f"Một hình {shape} màu {c}." for c in ("đỏ", "xanh lục", "xanh dương", "vàng", "đen")]
        for shape in ("tròn", "vuông")
    ),
    "ar": (
        [f"دائرةٌ {c}" for c in ("حمراء", "خضراء", "زرقاء", "صفراء", "سوداء")],
        [f"مربعٌ {c}" for c in ("أحمر", "أخضر", "أزرق", "أصفر", "أسود")],
    ),
    "he": tuple([f"{s} {c}" for c in ("אדום", "ירוק", "כחול", "צהוב", "שחור")] for s in ("עיגול", "ריבוע")),
    "hi": tuple([f"एक {c} {s}।" for c in ("लाल", "हरा", "नीला", "पीला", "काला")] for s in ("वृत्त", "वर्ग")),
    "bn": tuple([f"একটি {c} {s}।" for c in ("লাল", "সবুজ", "নীল", "হলুদ", "কালো")] for s in ("বৃত্ত", "বর্গক্ষেত্র")),
    "th": tuple([f"{s}สี{c}" for c in ("แดง", "เขียว", "น้ำเงิน", "เหลือง", "ดำ")] for s in ("วงกลม", "สี่เหลี่ยม")),
    "zh": tuple([f"一个{c}色的{s}。" for c in "红绿蓝黄黑"] for s in ("圆", "方块")),
    "ja": tuple(
        [f"{c}{s}がある" for c in ("赤い", "緑の", "青い", "黄色い", "黒い")] for s in ("サークル", "スクエア")
    ),
    "ko": tuple([f"{c} {s}" for c in ("빨간", "초록", "파란", "노란", "검은")] for s in ("원", "사각형")),
    "ru": tuple([f"{c} {s}" for c in ("Красный", "Зелёный", "Синий", "Жёлтый", "Чёрный")] for s in ("круг", "квадрат")),
    "el": (
        [f"Ένας {c} κύκλος" for c in ("κόκκινος", "πράσινος", "μπλε", "κίτρινος", "μαύρος")],
        [f"Ένα {c} τετράγωνο" for c in ("κόκκινο", "πράσινο", "μπλε", "κίτρινο", "μαύρο")],
    ),
    "am": tuple([f"{c} {s}።" for c in ("ቀይ", "አረንጓዴ", "ሰማያዊ", "ቢጫ", "ጥቁር")] for s in ("ክብ", "ካሬ")),
}  # type: ignore[dict-item]


def write_scenes(folder: Path, copies: int) -> Path:
    """A CSV file with drawings beside it: each scene `copies` times in train, as `train/red-circle-0.png`, and once in
    dev, `dev/red-circle.png`. The copies are equal, so that `copies` makes epochs longer."""
    rows = []
    for (s, shape), (c, colour) in product(enumerate(SHAPES), enumerate(COLOURS)):
        picture = draw(Scene((Thing(shape, colour, "big"),), "left"), "a scene")
        names = [f"train/{colour}-{shape}-{i}.png" for i in range(copies)] + [f"dev/{colour}-{shape}.png"]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            picture.save(folder / name)
            split = name.split("/")[0]
            rows += [(name, captions[s][c], split, language) for language, captions in CAPTIONS.items()]
    file = folder / "scenes.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "caption", "split", "language"))
        writer.writerows(rows)
    return file


def caption_of(name: str, language: str) -> str:
    """As it was written."""
    colour, shape = Path(name).stem.split("-")[:2]
    return CAPTIONS[language][SHAPES.index(shape)][COLOURS.index(colour)]
