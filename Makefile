# A thin front: everything happens in tools/, CMake and the binary itself.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ipfs-accelerate
export CCACHE_DIR ?= $(CACHE)/ccache
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
BUILD := build/release
BINARY := $(BUILD)/ipfs-accelerate
# A terminal sees every step of a build; a log sees what went wrong.
NINJA := ninja -C $(BUILD) $(shell [ -t 2 ] || echo --quiet)
MODEL ?= smollm2
PROMPT ?= What is the capital of France?

.PHONY: help build run test test-torch test-torch-all test-asan test-tsan bench fmt tidy clean
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the release binary, build/release/ipfs-accelerate
	@tools/setup build
	@[ -e $(BUILD)/build.ninja ] || { echo "building for the first time: about 5 minutes on 2 cores" >&2; cmake --preset release >/dev/null; }
	@$(NINJA) ipfs-accelerate

run: build ## one answer: make run [MODEL=path|alias] [PROMPT="..."]
	@$(BINARY) run "$(MODEL)" "$(PROMPT)"

test: ## everything that needs no heavy engine
	@tools/setup test
	@tools/test

test-torch: ## the torch backend, really run: a small matrix (installs torch, 6 GB)
	@tools/setup test
	@tools/test-torch

test-torch-all: ## the same, all of it
	@tools/setup test
	@tools/test-torch all

test-asan: ## unit tests under ASan and UBSan, and a minute of each fuzzer
	@tools/setup test
	@tools/test-asan

test-tsan: ## unit tests of base, net and engine under ThreadSanitizer
	@tools/setup test
	@tools/test-tsan

bench: build ## prefill, decode and embedding speed of this machine
	@tools/bench

tidy: ## the laws of STYLE.md
	@python3 tools/tidy.py

clean:
	rm -rf build
