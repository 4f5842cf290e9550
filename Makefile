# Everything runs in .venv, which the targets make themselves: Python >= 3.11, make and git are enough.
PYTHON ?= python3
BIN := .venv/bin
# Only a real API server shows whether these work, so `cluster-tests` measures them, with the unit tests that they have as
# well, and `tests` leaves them out.
CLUSTER_CODE := routers/kube/*,routers/stores/cluster*.py,routers/stores/watching.py,rollway/cli/progress.py,rollway/cli/interrupt.py,rollway/cli/commands/ramp.py,rollway/cli/commands/controller.py
# Their coverage is kept by whichever target ran them last.
UNIT_COVERAGE := build/unit-coverage
CLUSTER_UNIT_TESTS := $(wildcard tests/test_kube*.py) $(addprefix tests/test_,informer.py lease.py cluster_store.py watching_store.py ramp.py steps.py cli_front.py)
# These have a control plane of their own, with Argo's controller beside ours, so that CI can run them in the other lane.
BESIDE_ARGO := $(addprefix integration/test_,beside_argo.py cli_of_argo.py examples_of_argo.py)
# Some tests take as long as a hundred others, so a worker that has nothing left takes tests from the other one.
PARALLEL := --numprocesses 2 --dist worksteal
# Real processes on a busy machine are late now and then: a test that fails runs once more, and both failures are printed.
REAL := --force-enable-socket --reruns 1 --rerun-show-tracebacks --durations 20
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Python compiles the modules that are imported, once, and most of those that are installed never are. To pip the value of
# this variable is whether to compile: https://pip.pypa.io/en/stable/topics/configuration/#environment-variables.
export PIP_NO_COMPILE := 0
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo rollout-demo test gates tests simulate integration cluster-tests beside-argo cluster-tests-all integration-kind kind-images traffic deploy picture lab cluster bench wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable . --group dev
	touch $@

demo: .venv/ready  ## set a weight with each backend in a scratch copy of examples/shop
	@$(BIN)/python examples/demo.py

rollout-demo: .venv/ready  ## a release by `rollway controller`, with live requests; no cluster is needed (PAUSE=4 seconds at each weight)
	@$(BIN)/python integration/programs/warm.py --live >/dev/null
	@$(BIN)/python integration/programs/sandbox.py $(abspath $(BIN))/python integration/programs/rollout_demo.py $(if $(PAUSE),--pause $(PAUSE))

test: gates tests  ## every gate and every test

gates: .venv/ready  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

tests: .venv/ready  ## unit, contract, property, golden, fuzz, CLI, README and wheel tests, with coverage
	$(BIN)/coverage erase
	$(BIN)/pytest $(PARALLEL) -m 'fuzz or uncovered' --durations 10
	$(BIN)/pytest $(PARALLEL) -m 'not (fuzz or uncovered)' --cov --cov-report= --durations 10
	$(BIN)/coverage report --fail-under=95 --omit='$(CLUSTER_CODE)'
	mkdir -p $(dir $(UNIT_COVERAGE)) && cp .coverage $(UNIT_COVERAGE)
	$(BIN)/coverage report --fail-under=100 --include='routers/model.py,routers/findings.py,routers/objects.py,routers/traffic.py,routers/weights.py,routers/rollout/*,routers/plan.py,routers/ownership.py,routers/backends/*' --omit='*/probe.py,*/data_plane.py'

SEEDS ?= 10000
simulate: .venv/ready  ## SEEDS=10000 random releases in the simulated world, and a kill at every write
	SEEDS=$(SEEDS) EVERY_KILL=1 $(BIN)/pytest tests/test_simulated_releases.py --numprocesses auto

integration: cluster-tests beside-argo traffic  ## every test with real processes: the next and `traffic`

$(UNIT_COVERAGE): .venv/ready $(shell find rollway routers tests -name '*.py')
	$(BIN)/coverage erase
	$(BIN)/pytest $(CLUSTER_UNIT_TESTS) $(PARALLEL) --cov --cov-report=
	mkdir -p $(@D) && cp .coverage $@

cluster-tests: .venv/ready $(UNIT_COVERAGE)  ## the tests on a real API server (ARGS=more words for pytest)
	$(BIN)/python integration/programs/warm.py
	$(BIN)/coverage erase
	cp $(UNIT_COVERAGE) .coverage
	$(BIN)/pytest integration --ignore=integration/traffic $(addprefix --ignore=,$(BESIDE_ARGO)) $(REAL) --numprocesses 2 --dist loadgroup --cov --cov-append --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under=95 --include='$(CLUSTER_CODE)'

beside-argo: .venv/ready  ## the tests with the controller and the command line of Argo Rollouts (ARGS=more words for pytest)
	$(BIN)/python integration/programs/warm.py
	$(BIN)/pytest $(BESIDE_ARGO) $(REAL) $(ARGS)

cluster-tests-all: .venv/ready  ## the same on every version of Kubernetes that there is a build for
	set -e; for minor in $$($(BIN)/python integration/programs/warm.py --versions); do \
	  $(BIN)/python integration/programs/warm.py --cluster local --kubernetes $$minor; \
	  $(BIN)/pytest integration --ignore=integration/traffic --kubernetes=$$minor $(REAL) --numprocesses 2 --dist loadgroup $(ARGS); done

# Where a Docker engine runs it is used, and otherwise one of our own is started. Tests with the marker `kubelets` run
# there: those for which pods that run, a node, and the controllers of a whole cluster could change the result. What only
# an API server, or the program of a data plane, answers is the same on the local ones. ARGS="-m ''" runs all.
integration-kind: CLUSTER = kind
integration-kind: .venv/ready  ## the tests where kubelets run pods (CLUSTER=kind|k3s|existing, KEEP=1 leaves the kind cluster, ARGS=...)
	$(BIN)/python integration/programs/warm.py --cluster $(CLUSTER)
	$(if $(filter kind,$(CLUSTER)),$(BIN)/python integration/programs/engine.py $(if $(KEEP),--stay)) $(abspath $(BIN))/pytest integration --cluster=$(CLUSTER) $(if $(KEEP),--keep) $(REAL) -s -rs -m kubelets $(ARGS)

kind-images: .venv/ready  ## the images of a kind cluster without any image registry: node, ingress-nginx, echo, rollway
	$(BIN)/python integration/programs/warm.py --cluster kind --kind-images packages

.venv/traffic: .venv/ready
	$(BIN)/pip install --quiet --group traffic
	touch $@

traffic: .venv/traffic  ## the tests on live traffic: ingress-nginx, istiod with Envoy, an SMI mesh (ARGS=more words for pytest)
	$(BIN)/python integration/programs/warm.py --traffic
	$(BIN)/python integration/programs/sandbox.py $(abspath $(BIN))/pytest integration/traffic $(REAL) -s $(ARGS)
	$(BIN)/python integration/programs/readme_lab.py

deploy: .venv/ready  ## render the kustomize bases of deploy/, and the types of a pod template from the pinned Kubernetes
	$(BIN)/python integration/programs/pod_template.py
	$(BIN)/python deploy/render.py

picture: .venv/ready  ## draw docs/session.svg, and docs/ramp.svg from the ramps that `make traffic` recorded
	$(BIN)/python docs/draw_session.py
	$(BIN)/pip install --quiet --group docs
	$(BIN)/python docs/draw_ramp.py

lab: .venv/traffic  ## a shell with the example shop behind real data planes (RUN='command' runs one and stops)
	@$(BIN)/python integration/programs/warm.py --traffic >/dev/null
	@$(BIN)/python integration/programs/sandbox.py $(abspath $(BIN))/python integration/programs/lab.py $(if $(RUN),--run '$(subst ','\'',$(value RUN))')

cluster: .venv/ready  ## a local control plane with the example objects, until Ctrl-C (RUN='command' runs one and stops)
	@$(BIN)/python integration/programs/play.py $(if $(RUN),--run '$(subst ','\'',$(value RUN))')

bench: .venv/ready  ## the figures of benchmarks/, measured now
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/cluster.py
	$(BIN)/python benchmarks/controller.py

wheel: .venv/ready  ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean:  ## delete everything that the targets made
	rm -rf .venv dist build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
