# Two environments: .venv-light has what captioning needs and no torch, .venv has everything.
PYTHON ?= python3
LIGHT := .venv-light
FULL := .venv

# Where `make model` finds the photos, the captions and the encoder's ImageNet weights; see docs/training.md.
FLICKR8K ?= ../shared/flickr8k
ENCODER ?= ../shared/weights/tf_efficientnet_b4.in1k_trunk.safetensors

.PHONY: demo test lint model clean

demo: $(LIGHT)/installed
	$(LIGHT)/bin/showtell caption examples

test: lint
	$(FULL)/bin/python -m pytest -n auto --dist loadfile

lint: $(FULL)/installed
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy

# From scratch; interrupted, it goes on. A finished runs/builtin has to be removed first. The card's figures are written
# by hand: measure them again (benchmarks/quality.py) before a new model is shipped.
model: $(FULL)/installed
	$(FULL)/bin/showtell train default --run runs/builtin 'text.languages=[en,ar]' data=flickr:$(FLICKR8K) \
		model.encoder_weights=$(ENCODER)
	$(FULL)/bin/showtell export runs/builtin src/showtell/models/default --card docs/model_card.md \
		decode.beam=8 decode.length_exponent=0.9 decode.no_repeat_ngram=2
	$(FULL)/bin/showtell calibrate src/showtell/models/default --data flickr:$(FLICKR8K) --split dev

$(LIGHT)/installed: pyproject.toml $(shell find src -type f -not -name '*.pyc')
	$(PYTHON) -m venv $(LIGHT)
	$(LIGHT)/bin/pip install --quiet --disable-pip-version-check .
	touch $@

$(FULL)/installed: pyproject.toml
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(LIGHT) $(FULL) build dist
