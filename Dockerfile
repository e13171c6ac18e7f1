# Two stages: the toolchain builds the program, an image without a shell runs it. How to use it, and what was tested:
# docs/container.md

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# Packs the relocations (glibc 2.36 and later, which both stages have), most of which belong to the time zones: 1.4 MB less to
# store and to read at each start. Not in Cargo.toml, because the program would not start with an older glibc.
ENV RUSTFLAGS="-C link-arg=-Wl,-z,pack-relative-relocs"

# Writes the list of crates into the program, where scanners of images find it: trivy, grype, syft, `cargo audit bin`.
RUN cargo install --locked cargo-auditable@0.7.7

# Dependencies first, built for a program that does nothing: this layer is built again only when they change. The manifest
# names the benches, so there must be such files.
COPY .cargo/config.toml .cargo/
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
 && touch benches/audit.rs benches/process.rs \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo auditable build --release --locked --bin driftwise \
 && rm -r src

# The source of the program, and the files that are compiled into it.
COPY src src
COPY migrations migrations
COPY config/baselines config/baselines
# The commit that it is built from, and its date: shown by `driftwise --version` and driftwise_build_info.
ARG DRIFTWISE_REVISION=unknown
ARG DRIFTWISE_DATE=unknown
# Touched, because a copied file can be older than the empty program, and cargo compares times.
RUN touch src/main.rs src/lib.rs \
 && cargo auditable build --release --locked --bin driftwise

# The root of the image: the program, the libraries that it is linked with, the certificate authorities that TLS trusts, a user
# and the data folder. Time zones, templates and the baseline are compiled in. glibc has its resolver built in.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN ldd target/release/driftwise | grep -o '/[^ ]*' | xargs -I '{}' install -D '{}' '/image{}' \
 && install -D -m 0755 target/release/driftwise /image/usr/local/bin/driftwise \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && echo 'driftwise:x:10001:10001::/var/lib/driftwise:/nonexistent' > /image/etc/passwd \
 && echo 'driftwise:x:10001:' > /image/etc/group \
 && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
 && mkdir /data

FROM scratch
ARG DRIFTWISE_VERSION=unknown
ARG DRIFTWISE_REVISION=unknown
ARG DRIFTWISE_CREATED=unknown
ARG DRIFTWISE_SOURCE=unknown
LABEL org.opencontainers.image.title="Driftwise" \
      org.opencontainers.image.description="Audits the e-commerce sessions of OrderWise against a baseline and mails when one drifts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${DRIFTWISE_VERSION}" \
      org.opencontainers.image.revision="${DRIFTWISE_REVISION}" \
      org.opencontainers.image.created="${DRIFTWISE_CREATED}" \
      org.opencontainers.image.source="${DRIFTWISE_SOURCE}"
COPY --from=build /image /
# The only folder that the program writes to; everything else may be read-only.
COPY --from=build --chown=10001:10001 /data /var/lib/driftwise
VOLUME /var/lib/driftwise
USER 10001:10001
WORKDIR /var/lib/driftwise
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/usr/local/bin/driftwise", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/driftwise"]
CMD ["run"]
