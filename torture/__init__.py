"""Attempts to break showtell: bad images, damaged and hostile models, planted defects in data, a server under overload,
guards that are taken out. docs/reliability.md has the results; `make torture` runs all parts.

Each part is a module, `python -m torture.images --n 10000`: cases are made from their number, so that any one can be
made again alone; finished chunks are kept, and an interrupted run goes on.
"""
