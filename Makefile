# Each target installs what it needs and no more; `make` alone lists them. What they call is in scripts/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
# Else each of the tests' thousands of Pythons compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := .venv/bin/python -m pytest
FILESYSTEMS := e2fsprogs xfsprogs btrfs-progs
LVM := lvm2 thin-provisioning-tools kmod
NODE := attr containerd crun containernetworking-plugins iproute2 ethtool busybox-static buildah debootstrap
API := kube-apiserver kube-controller-manager kubectl
SHELLS := bash-completion zsh fish
BACKUP := $(FILESYSTEMS) zstd acl attr libcap2-bin util-linux fuse3
CLUSTER := kube-scheduler kubelet kubectl csi-provisioner csi-attacher csi-resizer csi-snapshotter snapshot-controller
# Half an hour of backups, documents and many apps, which make test-cluster runs: with them make test takes too long.
LONG := backups test_disaster.py test_first_app.py test_golden_apps.py test_install_document.py \
	test_postgresql.py test_service_names.py
# What tests/conftest.py's --pool can select: these run once for each pool.
BOTH_POOLS := tests/contract tests/life tests/conformance

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: .runtime ## the life of a disk on this machine, told step by step
	@scripts/apt $(FILESYSTEMS)
	@.venv/bin/python -m deploy.demo

check: .dev ## lint, types and unit tests, in under a minute
	@echo "lint, format, types"
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy
	@$(PYTEST) -q -n auto tests/unit

test: .dev .filesystems .lvm .sanity .kube .cluster .prometheus .backup stubs-check ## unit, both pools, csi-sanity, real LVM in a VM, a real cluster
	@$(PYTEST) --durations=60 $(addprefix --ignore=tests/cluster/,$(LONG))

test-unit: .dev ## the tests that need neither root nor tools
	@$(PYTEST) tests/unit

test-loop: .dev .filesystems .sanity .kube ## contract, life-of-a-disk and csi-sanity on the loop-file pool
	@$(PYTEST) --pool loop $(BOTH_POOLS)

test-lvm: .dev .filesystems .lvm .sanity ## the same on real LVM, in a VM, and reboots of it
	@$(PYTEST) -m lvm

test-cluster: .dev .filesystems .lvm .sanity .kube .cluster .proxy .dns .backup ## the driver in a real Kubernetes cluster, with bad days, upgrades and many apps
	@$(PYTEST) tests/cluster

test-backup: .dev .backup ## the mover: real trees into files and repositories and back, and all that can go wrong
	@$(PYTEST) tests/backup

test-monitoring: .dev .filesystems .kube .prometheus ## alerts and dashboard, asked of a real Prometheus
	@$(PYTEST) tests/monitoring

bench: .dev .filesystems .lvm .backup ## the translator, backups and commits meanwhile, then speed and memory beside the raw commands, in the VM
	@.venv/bin/python -m tests.bench

bench-cluster: .dev .filesystems .lvm .kube .cluster ## how fast pods start with a disk, what it asks of the API server, memory, image
	@.venv/bin/python -m tests.bench.cluster

fmt: .dev ## formats the source and mends what lint can mend
	@.venv/bin/ruff check --fix --quiet || true
	@.venv/bin/ruff format

stubs: .dev ## generates csi/stubs from the CSI specification's Go module
	@scripts/stubs

stubs-check: .dev ## fails when csi/stubs is not what `make stubs` makes
	@scripts/stubs --check

schema: .dev ## makes deploy/app.schema.json from the app.toml model
	@.venv/bin/python -m deploy.schema

rules: ## makes the PrometheusRule of the monitoring component from its rules.yaml
	@scripts/rules > deploy/kubernetes/components/monitoring/prometheus-rule.yaml

lock: .dev ## the newest versions into requirements/*.txt, with hashes
	@scripts/lock

clean: ## removes .venv and what tools leave behind
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +

.runtime:
	@scripts/venv runtime
.dev:
	@scripts/venv dev
.filesystems:
	@scripts/apt $(FILESYSTEMS)
.lvm:
	@scripts/apt $(LVM)
	@scripts/uml >/dev/null
.kube:
	@scripts/apt etcd-server openssl iproute2 $(SHELLS)
	@for program in $(API); do scripts/go-program $$program >/dev/null; done
.cluster:
	@scripts/apt $(NODE)
	@for program in $(CLUSTER); do scripts/go-program $$program >/dev/null; done
.prometheus:
	@scripts/apt prometheus
	@scripts/go-program kubectl >/dev/null
.proxy:
	@scripts/apt iptables
	@scripts/go-program kube-proxy >/dev/null
.dns:
	@scripts/go-program coredns >/dev/null
.sanity:
	@scripts/go-program csi-sanity >/dev/null
.backup:
	@scripts/apt $(BACKUP)
	@for program in restic versitygw; do scripts/go-program $$program >/dev/null; done

.PHONY: help demo check test test-unit test-loop test-lvm test-cluster test-backup test-monitoring bench bench-cluster fmt stubs \
	stubs-check schema rules lock clean .runtime .dev .filesystems .lvm .sanity .kube .cluster .prometheus .proxy .dns .backup
