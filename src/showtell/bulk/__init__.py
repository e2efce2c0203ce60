"""Captions of very many photos: an interrupted run goes on, nothing is lost, doubled or half-written.

sources     what the command line names -> ImageInputs, lazily
engine      ImageInputs -> CaptionRows, in order (here `Captioner.caption_many`)
run         which inputs are still to be done; rows to the sink, then their keys to the ledger
sinks       rows -> files, chosen by the ending of `--output`
storage     the file operations of sinks and ledger, one class, so that tests can make any of them fail
"""
