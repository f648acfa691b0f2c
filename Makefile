# Everything from a fresh checkout: `make demo` shows the tool at work, `make test` tests it.
# The virtual environment is made on first use and again whenever its inputs change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt
OUT ?= out
PHOTOS ?=
SECONDS ?= 600

.PHONY: demo test browser slow soak coverage check format bench clean help

help:
	@echo 'make demo [PHOTOS=./photos]  index pictures, run three queries, write contact sheets to $(OUT)/demo'
	@echo 'make test                    run the tests'
	@echo 'make browser                 install a Chromium for the tests of the page, if there is none'
	@echo 'make slow                    run the tests that take long'
	@echo 'make soak [SECONDS=600]      kill, damage and fuzz for that long, and count what was lost'
	@echo 'make coverage                run the tests, and say which lines they leave out'
	@echo 'make check                   ruff and mypy'
	@echo 'make format                  let ruff format and fix'
	@echo 'make bench [PHOTOS=./photos] run the benchmarks'
	@echo 'make clean                   remove what these targets made'

demo: $(READY)
	$(BIN)/segsearch demo $(OUT)/demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: $(READY) browser
	$(BIN)/pytest -n 2 --dist worksteal -m 'not slow and not timed'
	$(BIN)/pytest tests/e2e -m 'timed and not slow'

# The system's own, or Debian's, or Playwright's; without any, the tests of the page say so loudly.
browser: $(READY)
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	&& apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null; } \
	|| $(BIN)/playwright install chromium \
	|| echo 'NO BROWSER could be installed: the tests of the page will be skipped' >&2

slow: $(READY) browser
	$(BIN)/pytest -m slow

soak: $(READY)
	$(BIN)/python -m tests.soak --seconds $(SECONDS)

coverage: $(READY) browser
	$(BIN)/pytest -n 2 --dist worksteal -m 'not slow and not timed' --cov --cov-report=term:skip-covered

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY)
	$(BIN)/python -m benchmarks.search_latency
	$(BIN)/python -m benchmarks.search_quality
	$(BIN)/python -m benchmarks.serve
	$(BIN)/python -m benchmarks.automatic_masks
	$(BIN)/python -m benchmarks.indexing $(if $(PHOTOS),--photos "$(PHOTOS)")
	$(BIN)/python -m benchmarks.demo_models --mask-scenes 100

clean:
	rm -rf $(VENV) $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# sam2 is built from source against the installed torch: torch first, then sam2 without build
# isolation, or torch would be fetched a second time just to build it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch torchvision setuptools wheel
	SAM2_BUILD_CUDA=0 $(PIP) --no-build-isolation sam2
	$(PIP) --editable '.[dev]'
	touch $@
