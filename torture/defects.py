"""The defects of data sets: each with the format that it is planted in, and the words of the line that must name it."""

from __future__ import annotations

import re
from typing import Final

from torture.data_sets import Photo, add, png
from torture.planting import (
    Defect,
    _empty_caption,
    _link,
    _no_sentences,
    _two_of_an_id,
    _unknown_split,
    _unlisted,
    beside,
    beside_the_splits,
    caption,
    change_photo,
    copy_under_another_name,
    cut,
    empty_text,
    in_json,
    in_lines,
    in_table,
    in_tar,
    in_two_splits,
    leak_by_name,
    listed_without_caption,
    missing_photos,
    name_in_two_lists,
    near_copy,
    parquet_caption,
    parquet_without,
    photo_without_row,
    set_line,
    text_in_latin_1,
    two_of_a_stem,
    without_header,
    without_text,
)

MOJIBAKE: Final = "A cafÃ© in Paris"
DEFECTS: Final[dict[str, Defect]] = {
    "photos missing": Defect("csv", missing_photos),
    "photo empty": Defect("csv", change_photo(lambda _: b"", "unreadable: empty")),
    "photo cut off": Defect("jsonl", change_photo(lambda photo: png(photo)[:80], "unreadable: truncated")),
    "photo that is a web page": Defect("folder", change_photo(lambda _: b"<html>", "unreadable: not_an_image")),
    "photo that is a drawing": Defect("flickr", change_photo(lambda _: b"<svg/>", "unreadable: unsupported")),
    "photo of few pixels": Defect(
        "karpathy", change_photo(lambda photo: png(Photo("", "", [], photo.pixels[:4])), "unreadable: too_small")
    ),
    "photo twice in a split": Defect("csv", copy_under_another_name("train")),
    "photo copied into another split": Defect("csv", copy_under_another_name("test")),
    "photo encoded anew in another split": Defect("csv", near_copy),
    "photo in two splits": Defect("csv", in_two_splits),
    "photo without a row": Defect("csv", photo_without_row),
    "caption in a wrong encoding": Defect("csv", caption(MOJIBAKE, "wrong encoding")),
    "caption with a replacement character": Defect("csv", caption("A caf\ufffd", "wrong encoding")),
    "caption with a control character": Defect("csv", caption("A dog\x07 runs", "control character")),
    "caption of a whole page": Defect("csv", caption("word " * 300, "a caption of 300 words")),
    "caption without words": Defect("csv", caption("...", "a caption without words")),
    "caption in another script": Defect("csv", caption("собака бежит по траве", "a caption with")),
    "blank caption": Defect("csv", in_table(set_line(lambda line: re.sub(",.*,", ",,", line)), "no caption of")),
    "unquoted comma": Defect("csv", in_table(set_line(lambda line: line.replace("A dog", "A dog, big")), "4 columns")),
    "quotation that does not end": Defect(
        "csv", in_table(set_line(lambda line: line.replace("A dog", '"A dog')), "broken row")
    ),
    "unknown split": Defect("csv", in_table(set_line(lambda line: line.rpartition(",")[0] + ",hold"), "'hold'")),
    "no image in a row": Defect("csv", in_table(set_line(lambda line: "," + line.partition(",")[2]), "image")),
    "byte that is no UTF-8": Defect(
        "csv", in_table(set_line(lambda line: line.replace("dog", "d\udce9g")), "0xe9", "not UTF-8")
    ),
    "no header": Defect("csv", without_header),
    "line of broken JSON": Defect(
        "jsonl", in_lines("t.jsonl", lambda lines, at: lines.__setitem__(at, lines[at][:-3]), "no valid JSON")
    ),
    "line that is a list": Defect(
        "jsonl", in_lines("t.jsonl", lambda lines, at: lines.__setitem__(at, "[1, 2]"), "JSON list")
    ),
    "line without an image": Defect(
        "jsonl", in_lines("t.jsonl", lambda lines, at: lines.__setitem__(at, '{"caption": "A dog."}'), "image")
    ),
    "caption that is a number": Defect(
        "jsonl",
        in_lines("t.jsonl", lambda lines, at: lines.__setitem__(at, '{"image": "a.png", "caption": 7}'), "caption"),
    ),
    "key twice": Defect(
        "flickr",
        in_lines("captions.en.txt", lambda lines, at: lines.__setitem__(at, lines[at - 1]), "again"),
    ),
    "no tab": Defect(
        "flickr",
        in_lines("captions.en.txt", lambda lines, at: lines.__setitem__(at, lines[at].replace("\t", " ")), "a TAB"),
    ),
    "nothing behind the tab": Defect(
        "flickr",
        in_lines(
            "captions.en.txt",
            lambda lines, at: lines.__setitem__(at, lines[at].partition("\t")[0] + "\t "),
            "an empty caption",
        ),
    ),
    "name in two lists": Defect("flickr", name_in_two_lists),
    "name in a list, without captions": Defect("flickr", listed_without_caption),
    "photos of Flickr missing": Defect("flickr", missing_photos),
    "JSON cut off": Defect("coco", cut("captions_*.json", "no valid JSON")),
    "caption of an image that is not there": Defect("coco", in_json("captions_train*.json", _unlisted)),
    "two images of an id": Defect("coco", in_json("captions_train*.json", _two_of_an_id)),
    "empty caption of COCO": Defect("coco", in_json("captions_train*.json", _empty_caption)),
    "unknown split of Karpathy": Defect("karpathy", in_json("dataset.json", _unknown_split)),
    "image without sentences": Defect("karpathy", in_json("dataset.json", _no_sentences)),
    "photo without a text": Defect("folder", without_text),
    "empty text": Defect("folder", empty_text),
    "text of no photo": Defect("folder", beside("lost.txt", b"A dog.", "captions of no photo")),
    "photo of another format": Defect("folder", beside("x.jxl", b"\xff\x0a", "unsupported: found JPEG XL")),
    "two photos of a stem": Defect("folder", two_of_a_stem),
    "photo beside the splits": Defect("folder", beside_the_splits),
    "name in two splits": Defect("folder", leak_by_name),
    "text in Latin-1": Defect("folder", text_in_latin_1),
    "broken line of metadata": Defect(
        "imagefolder",
        in_lines("train/metadata.jsonl", lambda lines, at: lines.__setitem__(at, "{"), "no valid JSON"),
    ),
    "tar cut off": Defect("shards", cut("train-*.tar", "no whole tar file")),
    "link in a tar": Defect("shards", in_tar(_link, "link.png", "a link")),
    "two photos of a key": Defect(
        "shards", in_tar(lambda tar, photo: add(tar, photo.name, png(photo)), "two photos of")
    ),
    "text of no photo in a tar": Defect(
        "shards", in_tar(lambda tar, photo: add(tar, "lost.txt", b"A dog."), "lost", "captions of no photo")
    ),
    "photo without a text in a tar": Defect(
        "shards", in_tar(lambda tar, photo: add(tar, "bare.png", png(photo)[:-1] + b"x"), "bare", "no caption")
    ),
    "broken JSON in a tar": Defect(
        "shards",
        in_tar(
            lambda tar, photo: (add(tar, "z.png", png(photo)), add(tar, "z.json", b"{")), "captions of z", "no sense"
        ),
    ),
    "table without captions": Defect("parquet", parquet_without("captions", "columns")),
    "table cut off": Defect("parquet", cut("t.parquet", "nothing that can be read")),
    "caption that is null": Defect("parquet", parquet_caption([None], "the captions")),
    "no captions in a row": Defect("parquet", parquet_caption([], "the captions []")),
}
"""What must be named, by what is planted."""
