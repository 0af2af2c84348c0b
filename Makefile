# What can be done here. Each target makes what it needs first.
.DEFAULT_GOAL := help
.PHONY: help install demo demo-reset test faults lint lock bench-sampling bench-generation bench-scoring bench-coverage bench-analysis bench-export bench-results bench-voting screenshots

# The newest Python that we support and that runs here (a version manager's stub may be there and not run).
PYTHON = $(shell for v in 3.13 3.12 3.11; do \
	if python$$v --version >/dev/null 2>&1; then echo python$$v; break; fi; done)
RUN = .venv/bin/python
STAMP = .venv/.installed

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

install: $(STAMP)  ## make the environment .venv

$(STAMP): requirements/all.txt requirements/installer.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "evalsite needs Python 3.13, 3.12 or 3.11 on the path: install one (Debian: apt install python3 python3-venv)."; exit 1; }
	@$(RUN) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || \
		{ echo "$(PYTHON) can't make an environment: install its venv module (Debian: apt install $(PYTHON)-venv)."; rm -rf .venv; exit 1; }
	@echo "Installing into .venv (about 6 GB with PyTorch; a minute or two, longer on a slow line)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/installer.txt
	@.venv/bin/uv pip sync --quiet --compile-bytecode --python $(RUN) --require-hashes requirements/all.txt
	@.venv/bin/uv pip install --quiet --python $(RUN) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## the whole site with a demo study, on PORT (8000)
	@exec $(RUN) -m evalsite.demo

demo-reset: $(STAMP)  ## forget all that the demo made (end it first)
	@$(RUN) -c "import shutil; from evalsite.demo import FOLDER; from evalsite.embedded import data_folder; \
		[shutil.rmtree(each, ignore_errors=True) for each in (data_folder(FOLDER).parent, FOLDER)]"

test: $(STAMP)  ## the tests, on a PostgreSQL and a Redis of their own
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto --dist worksteal

faults: $(STAMP)  ## 25 kills of worker, broker and database during 200 pairs
	$(RUN) -m tests.faults.storm

screenshots: $(STAMP)  ## pictures of every page, into docs/screenshots
	SCREENSHOTS=docs/screenshots $(RUN) -m pytest -q tests/browser/test_main_path.py

lint: $(STAMP)  ## style, types and the walls of the house
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy evalsite generation studies manage.py
	.venv/bin/lint-imports

lock: $(STAMP)  ## pin the newest versions that pyproject.toml allows, with hashes
	requirements/lock $(LOCKFLAGS)

bench-sampling: $(STAMP)  ## what a pair costs, beside the model's own forward passes
	$(RUN) -m benchmarks.sampling

bench-generation: $(STAMP)  ## workers beside the command, two beside one, pages of a million images
	$(RUN) -m benchmarks.generation

bench-scoring: $(STAMP)  ## scoring a folder, beside the metrics' own forward passes
	$(RUN) -m benchmarks.scoring

bench-coverage: $(STAMP)  ## how often the intervals cover, by simulation
	$(RUN) -m benchmarks.coverage

bench-analysis: $(STAMP)  ## the analysis of a million votes
	$(RUN) -m benchmarks.analysis

bench-export: $(STAMP)  ## the export of a million votes, beside a bare COPY
	$(RUN) -m benchmarks.export

bench-results: $(STAMP)  ## the results of a million votes: the worker's task and the page
	$(RUN) -m benchmarks.results

bench-voting: $(STAMP)  ## 200 people voting at once, beside a bare INSERT
	$(RUN) -m benchmarks.voting
