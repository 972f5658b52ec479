# What can be done with this tree. Everything fetched lands in $SLUICE_CACHE (default ~/.cache/sluice), nothing in here.
#
#   make demo          a first look: embedded broker, live data, what to type next
#   make web           the web application, portal and console, into web/dist, where it becomes part of the binary
#   make check         formatting, vet, linters, architecture, types, unit tests with the race detector; offline once fetched
#   make test          every test that decides whether a change is good, those against real Apache Kafka included
#   make conformance   test's clients in full: every release of Kafka, every client and program, every case
#   make chaos         gateways and brokers are killed, stopped and frozen under load; nothing acknowledged may be lost,
#                      no anomaly found that direct clients do not meet; SLUICE_SEEDS=50 for more histories;
#                      connections cut at every byte, full disks, storms of logins: nobody else may notice
#   make soak          hours of coming and going (SOAK=60m): goroutines, descriptors and memory stay where they were
#   make bench         direct, forwarders and the gateway in one run, as ratios, a quarter of an hour; ARGS=-quick to see it work,
#                      ARGS=-apart for revocations and changes at gateways that run apart
#   make fuzz          every fuzz test for FUZZTIME (30s)
#   make audit         known vulnerabilities; needs the network
#   make dist          static binaries, checksums, bill of materials, in dist/
#   make deps          fetch what the tests need and this machine lacks (check and test do it themselves)
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export SLUICE_CACHE ?= $(HOME)/.cache/sluice
export PATH := $(SLUICE_CACHE)/bin:$(PATH)

FUZZTIME ?= 30s
TOOL := go tool -modfile=tools/go.mod
# Packages whose tests start a real Kafka or PostgreSQL; they belong to "make test", not to "make check".
SERVERS := sluice/internal/kafkatest sluice/internal/store/postgrestest
REAL = go list -f '{{.ImportPath}} {{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... | awk -v servers="$(SERVERS)" \
	'BEGIN { split(servers, s); for (i in s) real[s[i]] } { for (i = 2; i <= NF; i++) if ($$i in real) { print $$1; next } }'
# Runs a command with its name before each line, so that two may run side by side.
label = 2>&1 | sed -u 's/^/$(1) | /'

.PHONY: help demo web web-types web-check check check-deps format vet lint generated unit test deps test-product test-clients conformance chaos soak bench fuzz audit dist clean

help:
	@sed -n '3,/^SHELL/s/^#   //p' Makefile

demo: web
	@go build -o bin/sluice ./cmd/sluice
	@exec bin/sluice demo $(ARGS)

# ---- web

WEB = $(shell find web -name node_modules -prune -o -path web/dist -prune -o -name '*.gen.*' -o -type f -print)
API = $(wildcard internal/httpapi/*.go internal/httpapi/schema/*.go internal/httpapi/describe/*.go)

web: web/dist/index.html

web/dist/index.html: $(WEB) $(API)
	@$(MAKE) web-types
	@echo "web: building"
	@cd web && npm run -s build >/dev/null

# Types come from the management API's own description, each time, so that they cannot be out of date.
web-types:
	@tools/deps.sh web
	@go run ./internal/httpapi/describe >web/api.gen.json
	@cd web && npm run -s types >/dev/null

web-check: web-types
	@echo "check: the web application's types and rules"
	@cd web && npm run -s typecheck && npm run -s lint

# ---- check

check: check-deps
	@$(MAKE) -k format vet lint generated web-check unit
	@echo "check: good"

check-deps:
	@tools/deps.sh check

format:
	@echo "check: formatting"
	@out=$$(gofmt -l arch_test.go $$(ls -d *_test.go cmd internal tools test 2>/dev/null | sort -u)); \
	if [ -n "$$out" ]; then echo "not formatted (gofmt -w):"; echo "$$out"; exit 1; fi

vet:
	@echo "check: vet"
	@go vet ./...
	@go -C tools vet ./sbom
	@if [ -n "$$(find test -name '*.go' -print -quit)" ]; then go -C test vet ./...; fi

lint:
	@echo "check: staticcheck"
	@$(TOOL) staticcheck ./...

# docs/config.md, docs/resources.md, docs/metrics.md and docs/protocol.md are compared by unit tests beside what they are made from.
generated:
	@echo "check: generated files"
	@jar=$$(ls $(SLUICE_CACHE)/kafka/4.3.1/libs/kafka-clients-4.3.1.jar 2>/dev/null || true); \
	out=$$(mktemp); trap 'rm -f $$out' EXIT; \
	go run ./internal/kafka/wire/schemagen $${jar:+-jar $$jar} -out $$out; \
	cmp $$out internal/kafka/wire/schema_gen.go || { echo "out of date: go generate ./internal/kafka/wire"; exit 1; }; \
	package=$$(ls $(SLUICE_CACHE)/asyncapi/asyncapi-specs-6.11.1.tgz 2>/dev/null || true); \
	if [ -n "$$package" ]; then \
		go run ./internal/control/contract/metaschema/gen -package $$package -out $$out; \
		cmp $$out internal/control/contract/metaschema/schemas.json || { echo "out of date: go generate ./internal/control/contract/metaschema"; exit 1; }; \
	fi

unit:
	@echo "check: unit tests with the race detector"
	@go test -race -timeout 10m $$(go list ./... | grep -vxF "$$($(REAL))")
	@go -C tools test ./sbom

# ---- test

test: deps web
	@echo "test: the product's packages and the clients in test/, side by side"
	@$(MAKE) -j2 -k test-product test-clients
	@echo "test: good"

deps:
	@tools/deps.sh test

test-product:
	@go test -timeout 14m ./... $(call label,product)

# A sample by default; SLUICE_FULL=1 runs all of it.
test-clients:
	@if [ -n "$$(find test -name '*_test.go' -print -quit 2>/dev/null)" ]; then \
		go -C test test -timeout 20m ./... $(call label,clients); \
	else echo "clients | test/ has no tests yet"; fi

conformance: deps
	@failed=; for v in 3.9.2 4.3.1 4.1.2; do \
		echo "conformance: Apache Kafka $$v"; \
		SLUICE_FULL=1 SLUICE_KAFKA=$$v go -C test test -count=1 -timeout 1h -v ./harness ./conformance ./kgosuite ./programs ./differential ./blind ./story || failed="$$failed $$v"; \
	done; \
	if [ -n "$$failed" ]; then echo "conformance: failed on$$failed"; exit 1; fi; echo "conformance: good"

chaos: deps
	SLUICE_FULL=1 go -C test test -count=1 -timeout 4h -p 1 -v ./chaos ./consistency/... ./robust

SOAK ?= 60m

soak: deps
	SLUICE_FULL=1 SOAK=$(SOAK) go -C test test -count=1 -timeout 0 -v -run '^TestSoak$$' ./robust

bench: deps
	@go -C test run ./bench $(ARGS)

# A failing input lands in testdata/fuzz beside the test: fix it and keep the file. Takes FUZZTIME for each target, one after the other.
fuzz:
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' internal cmd | sed 's/:func / /' | { n=0; failed=; while read -r file name; do \
		n=$$((n + 1)); echo "fuzz: $$(dirname $$file) $$name, $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "./$$(dirname $$file)" || failed="$$failed $$name"; \
	done; if [ -n "$$failed" ]; then echo "fuzz: of $$n targets failed:$$failed"; exit 1; fi; echo "fuzz: good, $$n targets in $${SECONDS} s"; }

audit:
	$(TOOL) govulncheck ./...
	go mod verify

# ---- dist

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TARGETS := linux_amd64 linux_arm64 darwin_amd64 darwin_arm64

dist: web
	@rm -rf dist && mkdir -p dist
	@for t in $(TARGETS); do \
		echo "dist: sluice_$$t"; \
		CGO_ENABLED=0 GOOS=$${t%_*} GOARCH=$${t#*_} go build -trimpath -buildvcs=true -ldflags '-s -w -X main.version=$(VERSION)' -o dist/sluice_$$t ./cmd/sluice; \
	done
	@go run -C tools ./sbom $(foreach t,$(TARGETS),$(CURDIR)/dist/sluice_$(t)) >dist/sluice.cdx.json
	@cp LICENSE NOTICE deploy/Containerfile dist/
	@cd dist && sha256sum sluice_* sluice.cdx.json >SHA256SUMS
	@ls -l dist

clean:
	rm -rf bin dist web/dist
