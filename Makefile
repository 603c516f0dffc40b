# A thin front: everything happens in tools/, CMake and the binary itself.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ipfs-accelerate
export CCACHE_DIR ?= $(CACHE)/ccache
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
BUILD := build/release
BINARY := $(BUILD)/ipfs-accelerate
MODEL ?= smollm2
PROMPT ?= What is the capital of France?

.PHONY: help build run test test-asan bench fmt tidy clean
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the release binary, build/release/ipfs-accelerate
	@tools/setup build
	@[ -e $(BUILD)/build.ninja ] || cmake --preset release >/dev/null
	@ninja -C $(BUILD) --quiet ipfs-accelerate

run: build ## one answer: make run [MODEL=path|alias] [PROMPT="..."]
	@$(BINARY) run "$(MODEL)" "$(PROMPT)"

test: ## everything that needs no heavy engine
	@tools/setup test
	@tools/test

test-asan: ## unit tests under ASan and UBSan, and a minute of each fuzzer
	@tools/setup test
	@tools/test-asan

bench: build ## prefill, decode and embedding speed of this machine
	@tools/bench

tidy: ## the laws of STYLE.md
	@python3 tools/tidy.py

clean:
	rm -rf build
