"""How many threads decode images, for everything that decodes many."""

from typing import Final

LOADER_THREADS: Final = 2
"""Threads that decode images while a network runs. Decoding a JPEG takes a tenth of the network's time for it, and each
thread may hold an image of 80 million pixels (320 MB). Jobs that run no network beside them take twice as many.

Pillow decodes without Python's lock, so that threads do it at the same time. Rejected: one per core, which needs memory
by the machine and not by the job, and takes the network's cores from it."""
