# The goals that a contributor needs; `make` alone lists them. GNU make 3.81,
# which macOS has, is enough.

.DEFAULT_GOAL := help
.PHONY: help demo deps test check bench bench-deps bench-limits bench-webhooks bench-flags flags-oracle bench-ofrep microbench fuzz soak faults faults-webhooks faults-flags build fmt fresh

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TESTFLAGS =
FUZZTIME  = 30s

help: ## list the goals
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the sidecar in front of a sample app and print what to try
	go run ./cmd/handrail demo

deps: ## install what the tests need (redis-server, postgresql, gcc, curl) and the Go modules
	@hack/deps.sh

# What counts allocations and bytes, or takes too long, is skipped under the race
# detector, which has its own, and runs once more without it. It needs cgo. A package that
# takes longer than the timeout hangs. Those that take longest begin first.
test: deps ## run all tests with the race detector on private servers
	CGO_ENABLED=1 HANDRAIL_TEST_SERVERS=required go test -race -shuffle=on -timeout 8m $(TESTFLAGS) ./cmd/handrail ./webhook/sqlstore ./...
	go test -count=1 -run 'Alloc|IdleConnectionsAreSmall|RaisingAPercentageOnlyAddsUsers|TheLargestImport' ./flags/... ./internal/... ./observe ./ratelimit ./webhook

check: ## look for what tests do not see: format, vet, go.mod, linters
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go mod tidy -diff
	go tool -modfile=tools/go.mod golangci-lint run ./...
	for m in bench/limits bench/flags bench/ofrep/flagdcore; do \
		(cd $$m && go vet ./... && go mod tidy -diff && go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint run ./...) || exit 1; done

bench: ## measure the sidecar beside nginx, HAProxy, Caddy and httputil.ReverseProxy (BENCHFLAGS)
	go run ./bench $(BENCHFLAGS)

bench-deps: ## install what bench uses: wrk, redis-server, nginx, HAProxy, Caddy
	@bench/deps.sh

bench-limits: ## measure the limiters beside others, in memory and on Redis (LIMITSFLAGS)
	cd bench/limits && go test -count=1 -timeout 20m -run '^TestCompare$$' -compare $(LIMITSFLAGS)

bench-webhooks: ## measure webhook delivery by store beside plain proxying (WEBHOOKSFLAGS)
	go run ./bench/webhooks $(WEBHOOKSFLAGS)

bench-flags: ## measure flags in flagd's format beside flagd's own evaluator (FLAGSFLAGS)
	cd bench/flags && go test -count=1 -timeout 5m -run '^TestCompare$$' -compare $(FLAGSFLAGS)

flags-oracle: ## hold 200,000 random decisions against flagd's own evaluator
	cd bench/flags && go test -count=1 -timeout 5m -v -run '^Test(Exported|Rules|Both)'

bench-ofrep: ## measure OFREP beside GO Feature Flag's relay and flagd's library (OFREPFLAGS)
	go run ./bench/ofrep $(OFREPFLAGS)

microbench: ## run all Go benchmarks
	go test -run '^$$' -bench . ./...

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@hack/fuzz.sh $(FUZZTIME)

soak: ## send SOAK_REQUESTS (100000) with random aborts through the server and both transports (SOAK_SEED)
	HANDRAIL_SOAK_REQUESTS=$(or $(SOAK_REQUESTS),100000) HANDRAIL_SOAK_SEED=$(SOAK_SEED) \
		go test -count=1 -v -timeout 30m -run AbortsLeave ./internal/server ./internal/upstream

faults: ## let Redis fail under load, FAULT_SECONDS (60) for each kind of fault (FAULT_SEED)
	HANDRAIL_FAULT_SECONDS=$(or $(FAULT_SECONDS),60) HANDRAIL_FAULT_SEED=$(FAULT_SEED) \
		go test -count=1 -v -timeout 60m -run FaultsUnderLoad ./ratelimit/redislimit

faults-webhooks: ## let processes, stores, app and provider fail around webhooks, FAULT_RUNS (1000) times (FAULT_SEED)
	HANDRAIL_FAULT_RUNS=$(or $(FAULT_RUNS),1000) HANDRAIL_FAULT_SEED=$(FAULT_SEED) HANDRAIL_FAULT_LANES=4 \
		go test -count=1 -v -timeout 60m -run WebhooksThroughFaults ./cmd/handrail

faults-flags: ## torture the sources of flags under load, FAULTS_FLAGS (5m) for each
	HANDRAIL_FAULTS_FLAGS=$(or $(FAULTS_FLAGS),5m) \
		go test -count=1 -v -timeout 60m -run 'TortureUnderLoad|RedisTorture' ./flags ./flags/redisflags

build: ## build static binaries into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...

fmt: ## format the Go files
	gofmt -w .

fresh: ## run the tests on a fresh Debian inside a folder (root, debootstrap)
	hack/fresh-machine.sh make test
