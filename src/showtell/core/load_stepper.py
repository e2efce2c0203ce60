"""The networks of a bundle, run by a runtime of this machine."""

from __future__ import annotations

from showtell.cache_folder import cache_folder
from showtell.core.bundle import MANIFEST, Bundle
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.runtimes.registry import AUTO
from showtell.errors import BadBundle


def load_stepper(bundle: Bundle, threads: int, runtime: str) -> OnnxStepper:
    """`runtime`: a name in `runtimes.registry`. Raises BadBundle where graphs and manifest do not fit, and what
    `OnnxStepper` raises."""
    stepper = OnnxStepper(bundle.encoder, bundle.decoder, threads, runtime)
    if stepper.vocab_size != bundle.manifest.vocab_size:
        raise BadBundle(
            f"{bundle.decoder}: the network has {stepper.vocab_size} tokens, {MANIFEST} says "
            f"{bundle.manifest.vocab_size}; export the model again"
        )
    return stepper


def choose_runtime(bundle: Bundle, threads: int, name: str) -> tuple[str, str]:
    """The runtime that `name` stands for, and, where it is AUTO, why: a line for the user."""
    if name != AUTO:
        return name, ""
    from showtell.core.runtimes.fastest import fastest

    choice = fastest(bundle.encoder, threads, bundle.fingerprint, cache_folder())
    return choice.name, str(choice)
