# Everything a person calls. `make help` lists it; nothing is rebuilt that has not changed.

PYTHON ?= python3
VENV ?= .venv
EDGERT_DATA ?= data
JOBS ?= auto
EDGERT_VM ?= $(HOME)/.cache/edgert-vm
export EDGERT_DATA EDGERT_VM
export EDGERT_REQUIRE_NATIVE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

PY = $(VENV)/bin/python
PIP = $(PY) -m pip install -q
EDITABLE = EDGERT_NO_NATIVE=1 $(PIP) --no-build-isolation
NATIVE = $(shell find kernels/native -name '*.p[xy][xdi]' -o -name '*.h')
TESTS ?= tests

.PHONY: help demo test test-torch test-faults fuzz soak onnx-table test-arm test-vm test-host bench-arm test-packaging lint build wheels clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PYTHON=python3.13 (for a new .venv), EDGERT_DATA=folder of models and pictures,'
	@echo '           TESTS=tests/kernels, JOBS=1'

demo: build ## shipped models on shipped pictures: answers, times, the tier used
	@tools/demo.sh $(VENV)/bin

test: build ## the whole suite
	$(VENV)/bin/pytest $(TESTS)

soak: build ## a service on a synthetic camera and prompts for MINUTES=120: memory, frame rate, bytes written
	$(PY) tools/soak.py --minutes $(or $(MINUTES),120)

onnx-table: build ## the table of docs/onnx.md: ONNX's node tests, run on the reference (half a minute)
	$(PY) tools/onnx_table.py

test-torch: build ## the tests of PyTorch import, QAT and pruning; installs torch (200 MB) first
	$(EDITABLE) -e ".[train]"
	$(VENV)/bin/pytest tests/convert/test_torch.py tests/convert/test_qat.py tests/convert/test_prune.py \
		tests/convert/test_compress.py

test-arm: build build/arm/ready ## the kernels and whole models on emulated Cortex-A53, A72 and A76
	PYTHON=$(PY) tools/arm/stage.sh
	$(VENV)/bin/pytest tests/arm -m arm -n $(JOBS) --dist worksteal

test-vm: build build/arm/ready $(EDGERT_VM)/disk.img ## an emulated Arm Debian: deploy, kills, power cuts, rollback (half an hour; as root)
	PYTHON=$(PY) tools/vm/wheels.sh build/vm/wheels
	$(VENV)/bin/pytest tests/vm -m vm -vv -s

$(EDGERT_VM)/disk.img: tools/vm/image.sh
	$< $(EDGERT_VM)

test-host: build ## deploy, install.sh, Ansible on a throw-away machine: EDGERT_TEST_HOST='-p 2223 pi@127.0.0.1'
	$(VENV)/bin/pytest tests/deploy -m host -v

bench-arm: build build/arm/ready build/arm/libinsn_count.so ## instructions per inference, edgert beside LiteRT
	PYTHON=$(PY) tools/arm/stage.sh
	PYTHON=$(PY) tools/arm/setup.sh --peers 3.11
	$(PY) benchmarks/arm.py --json benchmarks/arm.json --markdown benchmarks/ARM.md

test-packaging: build ## wheel, sdist, install without a compiler
	$(VENV)/bin/pytest tests/packaging -m packaging

test-faults: build ## kills by the thousand, real limits of memory, disk, network, which need root (half an hour)
	$(VENV)/bin/pytest $(TESTS) -m faults

fuzz: build ## REQUESTS=20000 damaged requests to a service with a camera and prompts (minutes)
	EDGERT_FUZZ=$(or $(REQUESTS),20000) $(VENV)/bin/pytest tests/serve/test_fuzz.py -m faults -s

lint: $(VENV)/.tools ## the style check
	$(VENV)/bin/ruff check

build: $(VENV)/.native ## .venv with edgert installed from this folder (editable)

wheels: build build/arm/ready ## dist/: the wheel of this machine, and aarch64 for Raspberry Pi OS Bookworm and Trixie
	rm -rf build/lib* dist/*.whl
	$(PY) -m pip wheel -q --no-deps --no-build-isolation -w dist .
	cp build/arm/dist/*.whl dist/
	@ls -l dist

clean: ## what the build made; downloads and .venv stay
	rm -rf build dist *.egg-info kernels/native/*.so kernels/native/not_built.txt $(VENV)/.native

distclean: clean ## everything that git does not know
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) 'setuptools>=77' 'cython>=3.1' wheel
	$(EDITABLE) -e ".[dev,peers]" || $(EDITABLE) -e ".[dev]"
	@touch $@

$(VENV)/.native: $(VENV)/.tools setup.py $(NATIVE)
	$(PY) setup.py -q build_ext --inplace
	@touch $@

ARM_SOURCES = $(NATIVE) setup.py $(wildcard tools/arm/*.sh) $(shell find edgert kernels -name '*.py')

build/arm/ready: $(VENV)/.tools $(ARM_SOURCES)
	PYTHON=$(PY) tools/arm/setup.sh 3.11 3.13
	rm -rf build/arm/dist
	PYTHON=$(PY) tools/arm/wheel.sh 3.11 build/arm/dist
	PYTHON=$(PY) tools/arm/wheel.sh 3.13 build/arm/dist
	@touch $@

build/arm/libinsn_count.so: tools/arm/insn_count.c
	mkdir -p build/arm
	$(or $(CC),cc) -shared -fPIC -O2 -Wall -o $@ $<
