"""Annotation formats become `Sample`s: one image, its captions in one language, its split.

spec      `read_samples("flickr:DIR")`: finds the reader by the word before the colon
flickr    flickr:DIR
tables    csv:FILE and jsonl:FILE
folder    folder:DIR
shapes    shapes:N, drawings that need no download; `scenes` says what they show
gather    rows of a table become Samples: names, splits, languages
files     text files line by line, and whether image files exist
checks    what is in a data set, and what is wrong with it
"""
