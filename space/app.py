"""The page and the API as a Hugging Face Space: this file, requirements.txt and README.md are all of its repository."""

import os

from showtell import Captioner
from showtell.serve.limits import Limits
from showtell.serve.server import Access, serve

if __name__ == "__main__":
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    access = Access(host="0.0.0.0", port=port, frames=("https://huggingface.co",))
    serve(Captioner.load(), Limits(), access)
