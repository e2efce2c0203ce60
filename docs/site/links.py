"""Links of the pages to files outside docs/, such as ../README.md: they work on the code host and not on the site, so
there their text stays. With `repo_url` they lead to the file on the host."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

FENCES = re.compile(r"^( *```.*?^ *```.*?$)", re.MULTILINE | re.DOTALL)
LINKS = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    folder = Path(page.file.abs_src_path or Path(config.docs_dir, page.file.src_uri)).parent
    root = Path(config.docs_dir).parent.resolve()

    def rewrite(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(config.docs_dir) and target.suffix != ".py":
            return link[0]  # MkDocs checks it
        if not target.exists() or not target.is_relative_to(root):
            raise PluginError(f"{page.file.src_uri}: found a link to {link[2]}; expected a file of the repository")
        if not config.repo_url:
            return link[1]
        return f"[{link[1]}]({config.repo_url.rstrip('/')}/blob/HEAD/{target.relative_to(root).as_posix()})"

    parts = FENCES.split(markdown)
    parts[::2] = [LINKS.sub(rewrite, part) for part in parts[::2]]
    return "".join(parts)
