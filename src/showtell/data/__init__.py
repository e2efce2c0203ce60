"""Annotation formats become `Sample`s: one image, its captions in one language, its split.

spec        `read_samples("flickr:DIR")`: finds the reader by the word before the colon
flickr      flickr:DIR
coco        coco:DIR[,YEAR]
karpathy    karpathy:FILE,IMAGES
tables      csv:FILE[,IMAGES] and jsonl:FILE
parquet     parquet:FILE_OR_FOLDER, and shards, shards:PATTERN; `containers` is what they share
folder      folder:DIR; `folder_files` lists it, `sidecars` and `split_folders` say what names mean
features    features:FILE, and cs231n, cs231n:DIR: features in place of photos
shapes      shapes:N, drawings that need no download; `scenes` says what they show
rows        rows of a table, grouped to Samples: names, splits, languages
photo_finder  the file that a name in a table means
delimited   tables with separators; `columns` what their columns are called, `text_files` encodings and lines
omissions   what a reader leaves out, named or counted
files       paths in specs, and an index of existing files
checks      problems of a data set; `duplicates` finds exact and near duplicates of images
stats       statistics of a data set

Captions without images, for scoring: `candidates` and `references` read them, `caption_files` has the formats that both
share, `matching` joins candidates and references by image.
"""
