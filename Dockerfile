# The image of a member: etcd, etcdctl and etcdutl on PATH, commands, flags and ETCD_* variables as in etcd's image. Flags alone are etcd's.
#
#     docker build -t concord .
#     docker run --rm -p 127.0.0.1:2379:2379 -v concord:/var/lib/etcd concord \
#       --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://127.0.0.1:2379
#
# The root file system may be read-only, and the user any (`--user 12345`): only /var/lib/etcd is written to.
ARG NODE_IMAGE=docker.io/library/node:24-slim

# What is built is the same for every platform, so it is made on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY bin bin
COPY src src
COPY workers workers
COPY scripts/bundle.ts scripts/bundle.ts
RUN node scripts/bundle.ts && rm -r dist/made-from

# No install scripts: lmdb brings a prebuilt library for glibc on amd64 and arm64, and nothing here could compile another.
FROM ${NODE_IMAGE} AS dependencies
WORKDIR /opt/concord
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  # Types, source maps, C sources, and libraries for other versions of Node and other C libraries are not run.
  && find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \) -delete \
  && find node_modules -type f -iname '*.md' ! -iname '*licen*' -delete \
  && rm -rf node_modules/@types node_modules/lmdb/dependencies node_modules/@lmdb/*/*.abi*.node \
    node_modules/@lmdb/*/*.musl.node \
  && node -e 'require("lmdb")'

# The base image without what only builds need. Deleting in a further layer would leave it in the image, hence the next stage.
FROM ${NODE_IMAGE} AS root
RUN rm -rf /usr/local/lib/node_modules /usr/local/include /usr/local/share/doc /usr/local/share/man /opt/yarn* \
    /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
    /usr/local/bin/docker-entrypoint.sh \
  && userdel --remove node \
  && groupadd --gid 10001 concord \
  && useradd --uid 10001 --gid concord --home-dir /var/lib/etcd --no-create-home --shell /usr/sbin/nologin concord \
  # A user without a name has group 0; members make their own folders in here, for themselves alone.
  && install --directory --owner=concord --group=root --mode=0770 /var/lib/etcd \
  && ln -s /opt/concord/bin/etcd /opt/concord/bin/etcdctl /opt/concord/bin/etcdutl /usr/local/bin/
WORKDIR /opt/concord
COPY package.json LICENSE ./
COPY bin bin
COPY deploy/docker/health.js deploy/docker/entrypoint.sh ./
COPY --from=dependencies /opt/concord/node_modules node_modules
COPY --from=build /build/dist dist

FROM scratch
COPY --from=root / /
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Concord" \
  org.opencontainers.image.description="An etcd v3.6 compatible key-value store for Node.js" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# Nothing is compiled again that could be cached: dist/ starts as fast without, and the cache would need a folder to write to.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  NODE_ENV=production \
  NODE_DISABLE_COMPILE_CACHE=1
USER 10001
# Where <name>.etcd, the default data directory, is made. ETCD_DATA_DIR is not set: a variable against a flag ends the start.
WORKDIR /var/lib/etcd
VOLUME /var/lib/etcd
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["node", "/opt/concord/health.js"]
ENTRYPOINT ["/opt/concord/entrypoint.sh"]
CMD ["etcd"]
