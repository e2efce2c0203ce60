"""The page and the API as a Hugging Face Space: this file, requirements.txt and README.md are all of its repository."""

import os

from showtell import Captioner
from showtell.serve.limits import Limits
from showtell.serve.server import Access, serve

if __name__ == "__main__":
    # Nobody reaches a Space but through Hugging Face's proxy, whose address is private: it says who asks.
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    access = Access(host="0.0.0.0", port=port, frames=("https://huggingface.co",))
    serve(Captioner.load(), Limits(), access)
