"""What tests know of the built-in model, so that another one may take its place."""

from typing import Final

from showtell.core.bundle import builtin, load_bundle

DOG_WORD: Final = "dog"
"""How it names the animal of examples/dog.jpg."""
BEAM: Final = load_bundle(builtin()).manifest.decode.beam_size
