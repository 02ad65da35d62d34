# The driver's one image: both plugins, kubectl-miren and the mover of backups. Build it at the top of the repository:
#   docker build --build-arg VERSION=0.1.0 --tag ghcr.io/miren/miren-csi:0.1.0 .

FROM debian:bookworm-20251117-slim AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python3 -m venv /build \
    && /build/bin/pip install --require-hashes --requirement requirements/build.txt \
    && python3 -m venv --without-pip /opt/miren-csi \
    && /build/bin/pip --python /opt/miren-csi/bin/python install --no-compile --require-hashes \
        --requirement requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY csi csi
COPY node node
COPY controller controller
COPY deploy deploy
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/miren-csi/bin/python install --no-compile --no-deps /wheels/*.whl
# The Kubernetes client comes with a second, asynchronous one, which needs packages of its own.
RUN /build/bin/pip --python /opt/miren-csi/bin/python uninstall --yes \
        aiohappyeyeballs aiohttp aiohttp-retry aiosignal frozenlist multidict propcache yarl \
    && cd /opt/miren-csi/lib/python3*/site-packages \
    && rm -r kubernetes/aio \
    && find . -name '*_test.py' -delete

FROM debian:bookworm-20251117-slim AS root
# What csi/programs.py lists (util-linux and tar are in the base), and Python; restic needs certificates
# for S3. This Debian's restic is too old for the mover, so the next one's comes, and nothing else of that. Of
# what comes along only xfs_scrub needs ICU, and nothing needs a package manager here.
RUN for list in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do \
        [ ! -e "$list" ] || sed s/bookworm/trixie/g "$list" >"/etc/apt/sources.list.d/trixie.${list##*.}"; \
    done \
    && printf 'Package: %s\nPin: release n=trixie*\nPin-Priority: %s\n\n' restic 990 '*' -1 >/etc/apt/preferences.d/trixie \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        btrfs-progs ca-certificates e2fsprogs libfuse3-3 lvm2 openssl python3 restic thin-provisioning-tools xfsprogs zstd \
    && dpkg --purge --force-depends --force-remove-protected apt libapt-pkg6.0 libicu72 \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && find / -xdev -name __pycache__ -prune -exec rm -r {} + \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && rm -rf /usr/sbin/xfs_scrub* /usr/share/info /usr/share/locale /usr/share/man /etc/apt \
        /etc/lvm/archive /etc/lvm/backup /tmp/* /var/cache/* /var/lib/apt /var/log/*
COPY --from=builder /opt/miren-csi /opt/miren-csi
COPY deploy/lvmlocal.conf /etc/lvm/lvmlocal.conf
# Fails when something is missing, and leaves the bytecode of what is in use.
RUN restic version && zstd --version && tar --version \
    && cd / && /opt/miren-csi/bin/python -c "import csi, controller, node, deploy, pkgutil; \
        [__import__(module.name) for package in (csi, controller, node, deploy) \
         for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.')]"

# One layer, without what the steps above took away again.
FROM scratch
COPY --from=root / /
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="miren-csi" \
    org.opencontainers.image.description="CSI driver for Miren's disks: both plugins and kubectl-miren" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION"
ENV PATH=/opt/miren-csi/bin:/usr/sbin:/usr/bin:/sbin:/bin
# kubectl-miren and the controller need no rights. The node plugin mounts, makes devices and runs LVM: it
# needs root, which the manifests in deploy/kubernetes give it.
USER 65532:65532
ENTRYPOINT ["miren-csi"]
