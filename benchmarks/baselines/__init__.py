"""What a user would otherwise run, written as it is usually written. Each reads as typical code of its kind; none is
slowed down, and none has a trick that the usual one lacks.

    generate              Hugging Face's `generate`, with the weights of the built-in model
    uncached_transformer  one photo at a time, the whole sentence again at every step, beam search in Python
    attention_lstm        one photo at a time, all features projected for every beam at every step
    encoder_alone         the encoder in the best runtime: nothing that writes captions is faster than that
"""
