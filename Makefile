# `make demo` shows what bnlint does; `make test` is what CI runs. Both make `.venv` on first use.

PYTHON ?= python3
MINUTES ?= 20
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test lint unit docs bench zoo fuzz clean

demo: $(STAMP)
	@$(BIN)/python -m examples.digits.demo

test: lint unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2

docs: $(STAMP)
	$(BIN)/python -m bnlint.ruleset > docs/rule-schema.json
	$(BIN)/python -m bnlint.reporters.schema > docs/report-schema.json
	$(BIN)/python -m bnlint.reporters.schema lines > docs/report-lines-schema.json
	$(BIN)/python -m bnlint.reporters.schema fold > docs/fold-schema.json
	$(BIN)/python -m bnlint.reporters.facts.schema > docs/facts-schema.json
	$(BIN)/python -m bnlint.config > docs/config-schema.json
	$(BIN)/python -m docs.option_keywords
	$(BIN)/python -m docs.option_table
	$(BIN)/python -m docs.rule_pages
	$(BIN)/python -m docs.form_table
	$(BIN)/python -m benchmarks.recall --write benchmarks/results/recall.md

bench: $(STAMP)
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.saved_files --write benchmarks/results/saved_files.md
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.rules_time --write benchmarks/results/rules_time.md
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.many_files --write benchmarks/results/many_files.md
	$(BIN)/python -m benchmarks.fold_precision
	$(BIN)/python -m benchmarks.fold_time resnet18 mobilenet_v2 efficientnet_b0 densenet121 --rounds 3
	$(BIN)/python -m benchmarks.fold_speed resnet50 mobilenet_v3_large --no-compile

zoo: $(STAMP)
	$(BIN)/python -m benchmarks.zoo --write benchmarks/results/zoo.md
	$(BIN)/python -m benchmarks.zoo_rules --write benchmarks/results/zoo_rules.md
	$(BIN)/python -m benchmarks.fold_zoo --write benchmarks/results/fold_zoo.md
	$(BIN)/python -m benchmarks.fold_numeric --write benchmarks/results/fold_numeric.md
	$(BIN)/python -m examples.published_weights --all

# Tries the property tests with new examples, then searches all parsers of files, each in turn, for MINUTES in total.
fuzz: $(STAMP)
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile default --numprocesses 2
	@$(PIP) install -c constraints.txt atheris
	$(BIN)/python -m benchmarks.fuzz --minutes $(MINUTES) --write benchmarks/results/fuzz.md

clean:
	rm -rf $(VENV) build dist

# torchvision and timm come without their dependencies: what they declare would replace the CPU build of torch.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("bnlint needs Python 3.11 or newer: make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (once, a minute or two) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@$(PIP) install -c constraints.txt --no-deps torchvision timm
	@$(PIP) install -c constraints.txt huggingface_hub pillow PyYAML safetensors
	@touch $@
