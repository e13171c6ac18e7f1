# Two stages: the toolchain builds the program, a small Debian runs it. How to use it, and what was tried: docs/container.md

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# Packs the relocations (glibc 2.36 and later, which both stages have), most of them of the time zones: 1.4 MB less to store and
# to read at each start. Not in Cargo.toml, as the program would not start with an older glibc.
ENV RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs"

# Dependencies first, built for a program that does nothing: this layer is built again only when they change. The manifest
# names the benches, so there must be such files.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
 && touch benches/audit.rs benches/process.rs \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked --bin driftwise \
 && rm -r src

# What the program is made of: its source, and what is compiled into it.
COPY src src
COPY migrations migrations
COPY config/baselines config/baselines
# The commit it is built from; shown by the metric driftwise_build_info.
ARG DRIFTWISE_REVISION=unknown
# Touched, because a copied file can be older than the empty program, and cargo goes by time.
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked --bin driftwise \
 && mkdir /data

FROM debian:bookworm-slim
ARG DRIFTWISE_REVISION=unknown
LABEL org.opencontainers.image.title="Driftwise" \
      org.opencontainers.image.description="Audits the e-commerce sessions of OrderWise against a baseline and mails when one drifts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${DRIFTWISE_REVISION}"
# The certificate authorities that TLS trusts. Time zones are compiled in.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/driftwise /usr/local/bin/driftwise
# The one folder that it writes to; everything else may be read-only.
COPY --from=build --chown=10001:10001 /data /var/lib/driftwise
VOLUME /var/lib/driftwise
USER 10001:10001
WORKDIR /var/lib/driftwise
EXPOSE 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/usr/local/bin/driftwise", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/driftwise"]
CMD ["run"]
