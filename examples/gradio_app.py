"""A Gradio demo: python examples/gradio_app.py, with gradio installed; or a Hugging Face Space (docs/serving.md)."""

import gradio as gr

from showtell import Captioner

captioner = Captioner.load()


def caption(photo: str | None, language: str) -> dict[str, float]:
    """Three captions of a photo, by its path, with the confidence of each."""
    if photo is None:
        raise gr.Error("Give it a photo first.")
    [row] = captioner.caption_many([photo], language=language, num=3)
    if not row.ok:
        raise gr.Error(f"This photo cannot be used: {row.detail}")
    return {choice.text: choice.confidence for choice in row.captions}


demo = gr.Interface(
    caption,
    inputs=[gr.Image(type="filepath"), gr.Radio(list(captioner.languages), value=captioner.languages[0])],
    outputs=gr.Label(label="Captions"),
    title="showtell",
    flagging_mode="never",
)

if __name__ == "__main__":
    demo.launch()
