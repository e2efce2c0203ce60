"""Downloads of public data sets: a table of files, resumed transfers, checks, unpacking."""
