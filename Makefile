# Two commands: `make demo` runs the main job, `make test` every test and lint. Both set everything up.
# Python 3.11 or newer and make are all that a machine needs.

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
# A CPU wheel of torch at hand (PIP_FIND_LINKS) is taken; elsewhere uv picks PyTorch's own CPU builds, so that no
# gigabytes of CUDA come along. TORCH_BACKEND=auto takes the build for your GPU instead.
TORCH_BACKEND ?= cpu
WHEELS := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)",--torch-backend=$(TORCH_BACKEND))

.PHONY: demo test lint setup lock clean

demo: setup
	$(BIN)/python -m benchmarks run chess --profile quick --out results/chess-quick

test: setup lint
	$(BIN)/python -m pytest -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: .venv/.done

.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dkmodels needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	VIRTUAL_ENV=.venv $(UV) pip install --quiet --compile-bytecode $(WHEELS) -r requirements.lock
	VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock: setup
	echo 'torch==2.13.0' > .venv/torch.txt
	$(UV) pip compile --quiet --upgrade pyproject.toml --group dev --extra tracking --extra tensorboard --extra benchmarks --constraint .venv/torch.txt $(WHEELS) \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock
	sed -i 's/^torch==\([0-9.]*\)+cpu/torch==\1/; /^uv==/d' requirements.lock

clean:
	rm -rf .venv build dist
