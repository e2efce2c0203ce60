"""Annotation formats become `Sample`s: one image, its captions in one language, its split.

spec        `read_samples("flickr:DIR")`: finds the reader by the word before the colon
flickr      flickr:DIR
coco        coco:DIR[,YEAR]
karpathy    karpathy:FILE,IMAGES
tables      csv:FILE[,IMAGES] and jsonl:FILE
parquet     parquet:FILE_OR_FOLDER, and shards, shards:PATTERN; `packed` is what they share
folder      folder:DIR
features    features:FILE, and cs231n, cs231n:DIR: features in place of photos
shapes      shapes:N, drawings that need no download; `scenes` says what they show
gather      rows of a table become Samples: names, splits, languages
files       text files line by line, and whether image files exist
checks      what is wrong with a data set; `duplicates` finds photos that look the same
stats       what is in a data set

Captions without photos, to be scored: `candidates` and `references` are files of them, `entries` the forms that both
have in common, `pairing` says which belong together.
"""
