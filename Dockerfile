# syntax=docker/dockerfile:1
# Two images from one build:
#
#   docker build --target postgres -t nexus-postgres .   the official PostgreSQL image with the extension in it
#   docker build --target gateway  -t nexus-gateway  .   the gateway
#
# compose.yaml runs both. Any PostgreSQL from 15 to 18: --build-arg PG_MAJOR=17.

ARG PG_MAJOR=15
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS rust

# Built on the image that it will run on, so that the extension meets the very headers of that server.
FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      build-essential ca-certificates libclang-dev pkg-config "postgresql-server-dev-${PG_MAJOR}" \
 && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/rustup /usr/local/rustup
COPY --from=rust /usr/local/cargo /usr/local/cargo
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:$PATH \
    PGRX_PG_CONFIG_PATH=/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config \
    CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
# The version of pgrx in Cargo.toml. A layer of its own: it changes seldom and takes minutes.
RUN cargo install cargo-pgrx --version =0.18.1 --locked
WORKDIR /nexus
COPY . .
RUN cargo build --release --locked -p nexus-gateway
RUN cargo pgrx package -p nexus --profile release --no-default-features --features "pg${PG_MAJOR}" \
      --pg-config "$PGRX_PG_CONFIG_PATH" --out-dir /package

FROM postgres:${PG_MAJOR}-bookworm AS postgres
COPY --from=build /package/ /
COPY scripts/prepare-database.sql /usr/local/share/nexus/

FROM debian:bookworm-slim AS gateway
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --no-create-home --uid 10001 nexus \
 && install -d -o nexus -g nexus -m 0700 /var/lib/nexus
COPY --from=build /nexus/target/release/nexus /usr/local/bin/nexus
USER nexus
EXPOSE 8080
# The exec form, so that SIGTERM reaches the gateway, which then finishes what is in flight.
ENTRYPOINT ["nexus"]
CMD ["serve"]
