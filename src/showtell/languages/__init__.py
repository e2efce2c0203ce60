"""Facts about languages that several packages need.

- `tags`: BCP 47 tags, such as `ar`, `pt-BR` or `az-Arab`, in canonical form.
- `registry`: what is known of a language, from one file per language in `data/`, with defaults for all others.
- `scripts`: the script of a letter, and the scripts that are written without spaces.
"""

from showtell.languages.registry import LanguageInfo, is_right_to_left, known_languages, language_info
from showtell.languages.tags import canonical_tag

__all__ = ["LanguageInfo", "canonical_tag", "is_right_to_left", "known_languages", "language_info"]
