"""A bundle's manifest, changed as a person would change it: without the checksum, which would give the change away."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from showtell.core.bundle import CHECKSUM, MANIFEST


def write_manifest(bundle: Path, raw: Mapping[str, Any]) -> None:
    content = {key: value for key, value in raw.items() if key != CHECKSUM}
    (bundle / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
