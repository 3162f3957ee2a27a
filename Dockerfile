# Images of the API, the worker and the migrations, and one of what they are demonstrated with:
#   docker build --target api --build-arg GIT_COMMIT="$(git rev-parse HEAD)" -t novita-gpu-api .
# The same inputs give the same binaries: locked dependencies, one code generation unit, fixed paths.

FROM rust:1.95-slim-bookworm AS toolchain
WORKDIR /src
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0

# Every dependency, from the manifests alone: built anew only when one of those changes.
FROM toolchain AS dependencies
COPY Cargo.toml Cargo.lock ./
COPY api/Cargo.toml api/
COPY worker/Cargo.toml worker/
COPY shared/Cargo.toml shared/
COPY migrations/Cargo.toml migrations/
COPY devstack/Cargo.toml devstack/
RUN for crate in api worker shared migrations devstack; do \
      mkdir -p "$crate/src" && touch "$crate/src/lib.rs"; done \
 && for crate in api worker migrations devstack; do echo 'fn main() {}' > "$crate/src/main.rs"; done \
 && mkdir -p worker/tests/chaos_queue worker/benches/queue worker/benches/fleet devstack/tests/chaos_create \
 && touch worker/tests/chaos_queue/main.rs worker/benches/queue/main.rs worker/benches/fleet/main.rs \
      devstack/tests/chaos_create/main.rs
# A trial may be built faster: --build-arg LTO=off --build-arg CODEGEN_UNITS=16
ARG LTO=fat
ARG CODEGEN_UNITS=1
ENV CARGO_PROFILE_RELEASE_LTO=$LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS=$CODEGEN_UNITS
RUN cargo build --locked --release -p api -p worker -p migrations

FROM dependencies AS build
COPY . .
ARG GIT_COMMIT=
# The sources may be older than what was built from the empty ones.
RUN find . -name '*.rs' -exec touch {} + \
 && GIT_COMMIT="$GIT_COMMIT" cargo build --locked --release -p api -p worker -p migrations \
 && mkdir /out \
 && cp target/release/novita-api target/release/novita-worker target/release/redis-migration /out/

# glibc, libgcc, root certificates and a user that may nothing; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot AS runtime
USER 65532:65532
WORKDIR /
ENV NODE_ENV=production

FROM runtime AS api
ARG GIT_COMMIT=
LABEL org.opencontainers.image.title="novita-gpu-api" \
      org.opencontainers.image.description="HTTP front of the Novita GPU Instance API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
COPY --from=build /out/novita-api /usr/local/bin/novita-api
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
  CMD ["/usr/local/bin/novita-api", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/novita-api"]

FROM runtime AS worker
ARG GIT_COMMIT=
LABEL org.opencontainers.image.title="novita-gpu-worker" \
      org.opencontainers.image.description="Queue worker of the Novita GPU Instance API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
COPY --from=build /out/novita-worker /usr/local/bin/novita-worker
EXPOSE 9465
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
  CMD ["/usr/local/bin/novita-worker", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/novita-worker"]

# Runs once and ends, so it has no health.
FROM runtime AS migrations
ARG GIT_COMMIT=
LABEL org.opencontainers.image.title="novita-gpu-migrations" \
      org.opencontainers.image.description="Layout of the Redis of the Novita GPU Instance API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GIT_COMMIT}"
COPY --from=build /out/redis-migration /usr/local/bin/redis-migration
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/redis-migration"]

FROM build AS build-demo
RUN cargo build --locked --release -p devstack && cp target/release/devstack /out/

# The simulated provider and a webhook receiver; never part of a deployment.
FROM runtime AS demo
COPY --from=build-demo /out/devstack /usr/local/bin/devstack
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/devstack"]
CMD ["outside"]

# What `docker build` without a target gives.
FROM api
