# Holdfast. `make help` lists what there is to make.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -X main.version=$(VERSION)
MODULES  = . e2e e2e/cluster/service e2e/clients e2e/s3 deploy/release

.PHONY: help build run deps test test-unit test-e2e test-net test-web dashboard-shots test-clients test-parity test-gateway test-s3 test-import test-cluster test-cluster-short check fmt-check tidy-check web-vendor release test-release release-data damage month soak bench bench-before bench-full bench-large bench-cluster bench-idle bench-provide bench-backups clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# No flag here changes how packages are compiled: what `go run` compiled is used.
build: ## build ./holdfast
	$(GO) build -ldflags '$(LDFLAGS)' -o holdfast ./cmd/holdfast

run: ## run the server on ./data, for trying things out
	$(GO) run ./cmd/holdfast serve --data ./data

deps: ## install what the tests need, on Debian and Ubuntu; elsewhere say what that is
	@.ci/deps

test: deps test-unit test-e2e ## all tests, with the race detector, the end-to-end ones included

test-unit: ## the tests of the packages
	.ci/race $(GO) test -race -timeout 30m ./...

test-e2e: ## the real binary against a real Kubo, which the first run builds (some minutes)
	cd e2e && $(GO) test -timeout 40m ./...

test-clients: ## the API with clients that generators make of its description, with those that people use, by its compliance suite, and by a page in a browser; needs npm and Chromium, not part of CI
	cd e2e/clients && $(GO) test -count=1 -timeout 40m ./...

test-gateway: ## the gateway beside Kubo's, and websites in a browser by subdomain and by path; needs Chromium, not part of CI
	cd e2e && $(GO) test -tags gateway -count=1 -timeout 30m ./gateway

test-web: ## the dashboard in a real Chromium, with a real Kubo and axe-core; needs Chromium and npm, not part of CI
	cd e2e && $(GO) test -tags browser -count=1 -timeout 30m ./web

dashboard-shots: ## write the screenshots of docs/dashboard anew, by the flows of test-web
	cd e2e && $(GO) test -tags browser -count=1 -timeout 30m -run '^Test(Flows|Admin)$$' ./web -shots ../../docs/dashboard

# With a network of its own for the test, which makes two more; see e2e/nat_test.go.
test-net: ## a Kubo behind a NAT, in networks that the test makes; needs nft and root or user namespaces, not part of CI
	cd e2e && $(GO) test -tags nat -count=1 -timeout 20m -exec 'unshare --map-root-user --net --' -run '^TestKuboBehindNAT$$' .

test-parity: ## 200 made trees and their CARs get the CIDs that Kubo gives them, with each way of importing and by each client; needs npm and curl; some 20 minutes, not part of CI, which does a tenth
	cd e2e && $(GO) test -count=1 -timeout 90m -v -run '^TestParity' . -full-parity

test-s3: ## backups to a bucket, of a real server of the S3 API; not part of CI
	cd e2e/s3 && $(GO) test -count=1 -timeout 20m ./...

test-import: ## 5,000 pins from a Kubo, and an ipfs-cluster, which the first run builds (a minute or two); not part of CI
	cd e2e && $(GO) test -tags imports -count=1 -timeout 60m -run '^TestImport' .

test-cluster: ## real ipfs-cluster peers over Holdfasts and Kubos: moves, crashes, full disks, partitions, and the compliance suite over a front, which needs npm; the first run builds ipfs-cluster (a minute or two); ARGS=-mixed has a Kubo in each cluster of three; not part of CI, which does test-cluster-short
	cd e2e && $(GO) test -tags cluster -count=1 -timeout 90m -v ./cluster $(ARGS)

CLUSTER_SHORT = TestCalls|TestCopies|TestRefusals|TestNodeIsKilled|TestMove|TestUnpinWhilePeerIsDown|TestFrontEverythingDies|TestFrontKilledBeforeTheBatch|TestFrontIsAService
test-cluster-short: ## the tests of test-cluster that CI runs, within some five minutes
	cd e2e && $(GO) test -tags cluster -count=1 -timeout 20m -run '^($(CLUSTER_SHORT))$$' ./cluster

month: ## a month in the life of a cluster with 20,000 pins and all kinds of faults at random, some hours; ARGS='-month-seed N' repeats one; not part of CI
	cd e2e && $(GO) test -tags cluster -count=1 -timeout 10h -v -run '^TestMonth$$' ./cluster -month-pins 20000 -month-time 9h $(ARGS)

check: fmt-check tidy-check ## gofmt, go mod tidy, vet, staticcheck, import edges, a build without C, the systemd unit
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done
	cd e2e && $(GO) vet -tags nat,imports . && $(GO) vet -tags gateway ./gateway && $(GO) vet -tags browser ./web && $(GO) vet -tags cluster ./cluster
	$(GO) tool staticcheck ./...
	cd e2e && $(GO) tool -modfile=../go.mod staticcheck ./...
	cd e2e/cluster/service && $(GO) tool -modfile=../../../go.mod staticcheck ./...
	cd e2e/clients && $(GO) tool -modfile=../../go.mod staticcheck ./...
	cd e2e/s3 && $(GO) tool -modfile=../../go.mod staticcheck ./...
	$(GO) test -count=1 -run '^TestImports$$' ./cmd/holdfast
	CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/holdfast
	cd deploy/release && $(GO) tool -modfile=../../go.mod staticcheck ./...
	deploy/check.sh

# TARGETS="linux/arm64 ..." builds for these alone.
release: ## what a release has, in dist: programs, packages, their parts and licences, checksums; of what is committed
	rm -rf dist && deploy/release/build.sh dist

# What a release leaves on disk is opened by all later ones. So the archive is made once, in
# the commit of the release, and never again.
release-data: ## keep the data directory that the version in VERSION leaves, for the test that later versions open it
	$(GO) test -count=1 -run '^TestOpensDataOfReleases$$' ./cmd/holdfast -make-data=$$(cat VERSION)

test-release: ## build twice and compare, try the packages, the program in an empty root, other systems; some 15 minutes, as root on Debian, not part of CI
	deploy/release/test.sh

fmt-check:
	@bad=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$bad" ] || { echo "not gofmt-clean:"; echo "$$bad"; exit 1; }

tidy-check:
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff) || { echo "run 'go mod tidy' in $$m"; exit 1; }; done

web-vendor: ## fetch the files of others in the dashboard anew from the npm registry, and compare them with the hashes
	web/static/vendor.sh

damage: ## 500 rounds of random damage to a store, some 10 minutes; the log has the seed of each
	$(GO) test -count=1 -timeout 60m -run '^TestDamageRounds$$' -v ./store -rot-rounds=500

soak: ## the other random and large tests of the store, of backups and of a front at full length, of which CI does a part; logs have the seeds
	$(GO) test -race -count=1 -timeout 60m -run '^(TestAgainstModel|TestKilledDuringReclaim|TestReclaimGivesSpaceBack)$$' -v ./store -soak
	$(GO) test -race -count=1 -timeout 60m -run '^TestRecordsAgainstModel$$' -v ./store/internal/requests -soak
	$(GO) test -race -count=1 -timeout 60m -run '^TestBackupUnderLoad$$' -v ./backup -backup-rounds=200
	$(GO) test -count=1 -timeout 60m -run '^TestKilledBackups$$' -v ./cmd/holdfast -backup-kills=100
	$(GO) test -race -count=1 -timeout 60m -run '^TestAgainstModel$$' -v ./cluster -cluster-rounds=100

bench: ## Holdfast against Kubo (medians of 3) and IPFS Cluster, logins, lists, the dashboard and backups, some 20 minutes
	$(GO) test -run '^$$' -bench . -benchtime 1x ./store
	$(GO) test -run '^$$' -bench . ./auth
	$(GO) test -run '^$$' -bench '^BenchmarkDashboard$$' -benchtime 1x ./cmd/holdfast/internal/daemon
	cd e2e && $(GO) run ./bench
	cd e2e && $(GO) run ./cluster/bench -only requests

bench-full: ## the same, medians of 3 of all, beside a million blocks that stay, 20 pins in a row, a reader far away, a million requests for what nobody has, pins of one block beneath a cluster, and backups of 3 million blocks
	$(GO) test -run '^$$' -bench . -benchtime 1x -count 3 ./store
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./backup -backup-blocks 3000000 -backup-block-size 1100
	$(GO) test -run '^$$' -bench . -count 3 ./auth
	cd e2e && $(GO) run ./bench --full
	cd e2e && $(GO) run ./bench --beneath 4000
	cd e2e && $(GO) run ./cluster/bench -only requests

BEFORE ?= HEAD^
bench-before: ## this commit beside another, BEFORE=REV, in turns: pins, serving, lists, reclaim; some 15 minutes; ARGS=-lists is lists alone
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git archive $(BEFORE) | tar -x -C "$$dir" && \
	(cd "$$dir" && $(GO) build -o "$$dir/before" ./cmd/holdfast) && \
	(cd e2e && $(GO) run ./bench --beside "$$dir/before" $(ARGS))

bench-backups: ## backups and restores alone, beside cp and beside Kubo's import of the packs, some 2 minutes
	cd e2e && $(GO) run ./bench --backups

bench-cluster: ## a real ipfs-cluster over Holdfasts beside one over Kubos, and Holdfast in front of it, with targets; up to an hour; ARGS="-only P4 -scale 0.05" is a part of it, smaller
	cd e2e && $(GO) run ./cluster/bench $(ARGS)

bench-large: ## a DAG of 5 million blocks and a list of 100,000 nodes, in a memory of 512 MiB; not part of CI
	cd e2e && $(GO) run ./large

bench-idle: ## the memory of an idle server in each profile and with every transport, within 8 minutes
	cd e2e && $(GO) run ./bench --idle

bench-provide: ## 100,000 roots announced in a simulated DHT of 10,000 peers, and by files and directories, some 35 minutes, mostly of waiting
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m -v ./node/provide

clean: ## remove what was built, and the data of `make run`
	rm -rf holdfast data dist
