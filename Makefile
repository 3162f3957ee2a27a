# The commands that people and CI use alike.

CARGO ?= cargo
SHELL := /bin/bash
COMMIT = $(shell git rev-parse HEAD)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: deps build ## Bring up everything, show an instance becoming ready, stay up
	target/debug/devstack $(ARGS)

.PHONY: demo
demo: deps build ## The same once: create, ready, webhooks, delete, check the ledger, exit
	target/debug/devstack --once $(ARGS)

.PHONY: test
test: deps deps-test build build-fail-points ## Run the whole suite
	$(CARGO) test --workspace --locked

.PHONY: check
check: deps-check ## Formatting, lints, licences and versions, documentation
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) deny --offline --locked check licenses bans sources
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

.PHONY: docs
docs: deps build ## Write what the code tells: docs/configuration.md, docs/metrics.md and api/openapi.json
	WRITE_DOCS=1 $(CARGO) test --package api --lib --locked openapi
	WRITE_DOCS=1 $(CARGO) test --package devstack --test operating --locked

.PHONY: check-deploy
check-deploy: deps-deploy build ## Images, Compose, chart and monitoring, each by its own tool; STRICT=1 wants every tool
	scripts/check-deploy/run.sh

.PHONY: check-images
check-images: ## With a Docker engine: build the images, run the demonstration in Compose, stop it; QUICK=1 builds faster
	scripts/check-deploy/images.sh

.PHONY: images
images: ## Build the images novita-gpu-api, -worker and -migrations, tagged with the commit
	@for target in api worker migrations; do \
	  docker build --target "$$target" --build-arg GIT_COMMIT="$(COMMIT)" \
	    -t "novita-gpu-$$target:$(or $(IMAGE_TAG),$(COMMIT))" . || exit 1; done

.PHONY: release
release: ## The three binaries as they ship, with the commit in their version
	GIT_COMMIT=$(COMMIT) $(CARGO) build --release --locked -p api -p worker -p migrations

.PHONY: sbom
sbom: ## What is linked into the binaries, as CycloneDX: target/sbom.cdx.json
	@mkdir -p target && scripts/sbom.py >target/sbom.cdx.json && echo target/sbom.cdx.json

.PHONY: bench
bench: deps ## Cold start and idle memory of each production process, release build
	$(CARGO) build --workspace --release --locked
	target/release/devstack --bench $(ARGS)

.PHONY: chaos-queue
chaos-queue: deps ## 10,000 jobs while workers are killed and Redis is restarted, release build
	$(CARGO) test --package worker --test chaos_queue --release --locked -- \
	  --jobs 10000 --restarts 2 --outage 20 $(ARGS)

.PHONY: chaos
chaos: deps build-fail-points ## Creates and deletes while processes kill themselves; ARGS=--lifecycles for whole lives
	$(CARGO) test --package devstack --test chaos_create --locked -- --seeds 40 --lost 1000 $(ARGS)

.PHONY: chaos-webhooks
chaos-webhooks: deps build ## 10,000 webhooks while a worker is killed every second: all delivered, in unbroken sequences
	$(CARGO) test --package devstack --test chaos_webhooks --locked -- --events 10000 $(ARGS)

.PHONY: bench-queue
bench-queue: deps-bench-queue ## Our queue beside BullMQ and its Rust port; ARGS=--quick for a look
	$(CARGO) build --workspace --release --locked
	$(CARGO) bench -p worker --bench queue --locked -- $(ARGS)

.PHONY: bench-fleet
bench-fleet: deps ## 1,000 and 10,000 instances: how soon changes show, calls, memory; ARGS=--quick for a look
	$(CARGO) build --workspace --release --locked
	$(CARGO) bench -p worker --bench fleet --locked -- $(ARGS)

.PHONY: bench-webhooks
bench-webhooks: deps ## Deliveries a second beside bare requests, and what receivers that hang cost the others; ARGS=--quick
	$(CARGO) build --workspace --release --locked
	$(CARGO) bench -p worker --bench webhooks --locked -- $(ARGS)

.PHONY: build
build:
	$(CARGO) build --workspace --locked

# A target directory of its own: two sets of features in one would be built over and over.
.PHONY: build-fail-points
build-fail-points:
	$(CARGO) build --package api --package worker --features api/fail-points,worker/fail-points \
	  --target-dir $(or $(CARGO_TARGET_DIR),target)/fail-points --locked

.PHONY: deps
deps: ## Install redis-server if it is missing
	@scripts/install.sh redis-server

.PHONY: deps-test
deps-test:
	@scripts/install.sh redis-server python3

.PHONY: deps-deploy
deps-deploy:
	@scripts/install.sh redis-server python3 prometheus

.PHONY: deps-bench-queue
deps-bench-queue:
	@scripts/install.sh redis-server node npm

.PHONY: deps-check
deps-check:
	@command -v cargo-deny >/dev/null || { \
	  echo "cargo-deny is missing: building it once (a few minutes)"; \
	  $(CARGO) install --quiet --locked cargo-deny --version 0.20.2; }
	@$(CARGO) fetch --locked --quiet

.PHONY: clean
clean: ## Remove what was built
	$(CARGO) clean
