# Two environments: .venv-light has what captioning needs and no torch, .venv has everything.
PYTHON ?= python3
LIGHT := .venv-light
FULL := .venv

# Where `make model` finds the photos, the captions, sentences without photos, and the encoders' ImageNet weights; see
# docs/training.md.
FLICKR8K ?= ../shared/flickr8k
SENTENCES ?= ../shared/flickr30k-text
ENCODER ?= ../shared/weights/tf_efficientnet_b4.in1k_trunk.safetensors
COMPANION ?= ../shared/weights/mobilenetv2_100.tf_in1k.safetensors

# Where the environment forbids bytecode files, as containers often do, each process of the tests would compile torch's
# sources anew, for 8 seconds of the processor's time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test pytest test-long test-busy test-kernels torture first-day notebooks lint site model clean

demo: $(LIGHT)/installed
	$(LIGHT)/bin/showtell caption examples

# At the same time: without a cache, mypy takes one core for minutes.
test: $(FULL)/installed
	$(MAKE) --jobs 2 --keep-going lint pytest

# tests/conftest.py puts the longest files first; xdist would sort files by their number of tests.
TESTS := -m "not long" -n auto --dist loadfile --no-loadscope-reorder
pytest: $(FULL)/installed
	$(FULL)/bin/python -m pytest $(TESTS) --durations 40 --durations-min 5

# What `make test` leaves out, and thousands of random examples for each property; 40 minutes on two cores.
test-long: $(FULL)/installed
	$(FULL)/bin/python -m pytest -n auto -m long
	HYPOTHESIS_PROFILE=long $(FULL)/bin/python -m pytest -n auto -m hypothesis

# The suite three times beside two busy loops per core.
test-busy: $(FULL)/installed
	$(FULL)/bin/python benchmarks/busy.py $(FULL)/bin/python -m pytest $(TESTS)

# Numeric tests with the kernels of other CPUs and with 1, 2 and 4 threads; takes five times as long as one run.
test-kernels: $(FULL)/installed
	tests/kernels.sh $(FULL)/bin/python

# Attempts to break it; docs/reliability.md has the results. Goes on after an interruption; a part that fails does not
# keep the others from running.
torture: $(FULL)/installed
	@failed=0; for part in images bundles data server guards training; do \
		$(FULL)/bin/python -m torture.$$part || failed=1; \
	done; exit $$failed

# What a new user does on the first day, in an empty home folder; keeps its log in build/first_day.
first-day:
	tests/first_day.sh

# The notebooks' outputs, anew.
notebooks: $(FULL)/installed
	cd examples && PATH="$(CURDIR)/$(FULL)/bin:$$PATH" SHOWTELL_CACHE=cache \
		jupyter execute --inplace captioning.ipynb training.ipynb
	cd examples && rm -rf attention.jpg cache captions.jsonl captions.jsonl.ledger my-model runs

lint: $(FULL)/installed
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy

# The documentation site, into build/site; a warning is an error. (The variable silences its theme's own notice.)
site: $(FULL)/installed
	NO_MKDOCS_2_WARNING=1 $(FULL)/bin/mkdocs build --strict

# From scratch, in four runs; resumes after an interruption. Finished runs must be removed first. The card's scores are
# written by hand: measure them again (benchmarks/quality.py) before a new model is shipped.
BUILTIN := builtin data=flickr:$(FLICKR8K) model.encoder_weights=$(ENCODER) model.encoder.companion.weights=$(COMPANION)
CRITICAL := train.self_critical.start_epoch=0 train.self_critical.weight=0.8 train.ema_decay=0.99 \
	model.decoder.dropout=0.1 train.word_dropout=0 train.average_checkpoints=1
model: $(FULL)/installed
	$(FULL)/bin/showtell train default --run runs/builtin-1 'text.languages=[en,ar]' data=flickr:$(FLICKR8K) \
		model.encoder_weights=$(ENCODER)
	$(FULL)/bin/showtell train $(BUILTIN) --run runs/builtin-2 train.start_from=runs/builtin-1 \
		'train.text.files=[en=$(SENTENCES)/captions.en.txt.gz,de=$(SENTENCES)/captions.de.txt.gz]'
	$(FULL)/bin/showtell train $(BUILTIN) --run runs/builtin-3 train.start_from=runs/builtin-2 $(CRITICAL) \
		train.epochs=2 train.lr=0.0001 train.unfreeze_encoder_at_epoch=2
	$(FULL)/bin/showtell train $(BUILTIN) --run runs/builtin train.start_from=runs/builtin-3 $(CRITICAL) \
		train.epochs=8 train.lr=0.0002 train.encoder_lr=0.00003 train.unfreeze_encoder_at_epoch=4 \
		train.captions_per_language=1
	$(FULL)/bin/showtell export runs/builtin src/showtell/models/default --card docs/model_card.md \
		--precision int8 decode.beam_size=8 decode.length_penalty=0.9 decode.no_repeat_ngram_size=2 \
		decode.early_stopping=heuristic
	$(FULL)/bin/showtell fit-reranker src/showtell/models/default --data flickr:$(FLICKR8K)
	$(FULL)/bin/showtell calibrate src/showtell/models/default --data flickr:$(FLICKR8K) --split dev

$(LIGHT)/installed: pyproject.toml $(shell find src -type f -not -name '*.pyc')
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/pip install --quiet --disable-pip-version-check .
	touch $@

$(FULL)/installed: pyproject.toml
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	touch $@

clean:
	rm -rf $(LIGHT) $(FULL) build dist
