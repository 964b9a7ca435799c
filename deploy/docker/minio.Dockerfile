# syntax=docker/dockerfile:1
# The S3 server of the compose file and of the overlay local-minio, with its client. MinIO's makers publish sources and no
# images any more, and their last image has a known hole (CVE-2025-62506): both programs are built here, the server at the
# release that mends it. compose builds this by itself; for a cluster:
#
#   docker build --file deploy/docker/minio.Dockerfile --tag recsys-minio:RELEASE.2025-10-15T17-29-55Z .

# A site puts its digests here, as golang:1.26-bookworm@sha256:….
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=alpine:3.23

FROM ${GO_IMAGE} AS build
ARG MINIO_RELEASE=RELEASE.2025-10-15T17-29-55Z
ARG MC_RELEASE=RELEASE.2025-08-13T08-35-41Z
ENV CGO_ENABLED=0
# Go holds what it fetches against its public list of checksums.
RUN go install -trimpath -ldflags=-s "github.com/minio/minio@${MINIO_RELEASE}" \
 && go install -trimpath -ldflags=-s "github.com/minio/mc@${MC_RELEASE}"

# With a shell, in which compose fills the buckets, and the certificates of public authorities.
FROM ${BASE_IMAGE}
COPY --from=build /go/bin/ /usr/local/bin/
# A volume that is new takes over whose it is.
RUN install -d -o 1000 -g 1000 /data
# Where the client keeps its settings.
ENV HOME=/tmp
USER 1000:1000
CMD ["minio", "server", "/data"]
