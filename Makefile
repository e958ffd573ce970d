# Targets for people and for CI. Everything needs Go; what needs more says so.
GO      ?= go
BIN     := bin/jenkins-agent
LDFLAGS := -s -w
# What an agent never needs: manual pages and suggestions of urfave/cli, HTTP/2
# (half a megabyte: neither Jenkins nor STS wants it).
TAGS    := urfave_cli_no_docs,urfave_cli_no_suggest,nethttpomithttp2
# Not inlined, nearly a megabyte: what runs now and then, never for each byte or
# call of a build. The budget is 15 MB (test/house).
OURS     := github.com/footman-ci/footman
NOINLINE := $(OURS)/cmd/... $(OURS)/awsauth $(OURS)/remoting/jvm $(OURS)/remoting/classfile github.com/aws/... github.com/urfave/... \
            $(addprefix $(OURS)/remoting/,hudson hudson/git hudson/junit hudson/archive) golang.org/x/net/... vendor/golang.org/x/net/... vendor/golang.org/x/text/... net net/http/... mime/... text/... regexp/... \
            encoding/json encoding/xml encoding/asn1 fmt reflect log/... os/exec os/user math/big runtime/pprof crypto/tls crypto/x509/... \
            $(addprefix crypto/,hpke rsa ecdsa ecdh) $(addprefix crypto/internal/fips140/,rsa mlkem ecdsa ed25519 edwards25519/... drbg bigmod nistec)
GOFLAGS_SHELL := -trimpath -buildvcs=false -ldflags="$(LDFLAGS)"
GOFLAGS_AGENT := -tags $(TAGS) $(GOFLAGS_SHELL) $(foreach p,$(NOINLINE),-gcflags=$(p)=-l)
FUZZTIME ?= 30s
# a real agent.jar makes `make bench` compare; without one only we are measured
AGENT_JAR ?=

# the shell for containers without one; `jenkins-agent install` takes it along
SHELL_BIN := bin/jenkins-shell

.PHONY: build demo test race fuzz bench lint image images check-images ci-images test-recipes test-hudson test-aws clean $(BIN) $(SHELL_BIN)

build: $(BIN) $(SHELL_BIN)

$(SHELL_BIN):
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_SHELL) -o $@ ./cmd/jenkins-shell

$(BIN):
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_AGENT) -o $@ ./cmd/jenkins-agent

# the same for an image: bin/linux-amd64/jenkins-agent, bin/linux-arm64/jenkins-agent
bin/linux-%/jenkins-agent: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build $(GOFLAGS_AGENT) -o $@ ./cmd/jenkins-agent
bin/linux-%/jenkins-shell: FORCE
	CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build $(GOFLAGS_SHELL) -o $@ ./cmd/jenkins-shell
FORCE:

# a controller of ours and the agent, as two processes, run a small pipeline
demo: build
	$(GO) run ./test/controller/cmd -agent $(BIN) -demo

# what CI runs: formatting, vet, every test under the race detector
test: lint race

# the report names what was skipped, and why, which go test is silent about
race:
	$(GO) test -json -race -timeout 15m ./... | $(GO) run ./test/report

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./exec ./remoting/...

# every fuzz target of every package, one after the other
fuzz:
	@$(GO) list ./... | while read pkg; do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -parallel 2 $$pkg || exit 1; \
	  done; done

bench: build
	AGENT_JAR=$(AGENT_JAR) $(GO) run ./test/bench -agent $(BIN)

image:
	docker build -t footman .

# static and agent by buildah, podman or docker: sizes, budgets, bill of materials
images:
	images/build.sh $(IMAGES)

# the built images under crun: any uid, 24 MiB, cold start, … (IMAGES chooses)
check-images:
	images/check.sh $(IMAGES)

# both on a fresh Debian without a registry, as root
ci-images:
	images/ci.sh $(IMAGES)

# every file of images/ with the types of who reads it (a module of its own)
test-recipes:
	(cd test/recipes && $(GO) test -json ./...) | $(GO) run ./test/report

# a real Hudson 1.395 from Maven Central drives the agent over stdio
test-hudson: build
	test/hudson/run.sh $(BIN)

# real AWS tools against a simulated STS; AWS_QUICK=quick leaves out the faults
test-aws: build
	test/aws/run.sh $(AWS_QUICK) $(BIN)

clean:
	rm -rf bin
