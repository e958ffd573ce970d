# The agent from source, and nothing but the agent:
#
#   build  ── cross-compiles ──▶ bin/…/jenkins-agent ┐
#   rootfs ── shell, CA roots, users ───────────────┴──▶ FROM scratch
#
#   docker build -t footman/static .
#   docker build -t footman/agent --build-arg STATIC=footman/static images/agent
#
# Nothing here runs a program of the target's architecture, so
# `docker buildx build --platform linux/amd64,linux/arm64` needs no emulation.
# images/static/Dockerfile makes the same image of a binary that exists already.
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm
ARG DEBIAN_IMAGE=docker.io/library/debian:bookworm-slim

FROM --platform=${BUILDPLATFORM} ${GO_IMAGE} AS build
ARG TARGETARCH
ARG GOPROXY
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY Makefile ./
COPY awsauth awsauth
COPY cmd cmd
COPY exec exec
COPY remoting remoting
# The flags are the Makefile's, so that this is the same program as a release's.
RUN GOFLAGS=-mod=mod make -s bin/linux-${TARGETARCH}/jenkins-agent bin/linux-${TARGETARCH}/jenkins-shell

FROM --platform=${BUILDPLATFORM} ${DEBIAN_IMAGE} AS rootfs
ARG TARGETARCH
COPY images/static/rootfs.sh /rootfs.sh
RUN sh /rootfs.sh /rootfs ${TARGETARCH}
COPY --from=build /src/bin/linux-${TARGETARCH}/jenkins-agent /rootfs/usr/local/bin/jenkins-agent
COPY --from=build /src/bin/linux-${TARGETARCH}/jenkins-shell /rootfs/usr/share/jenkins/jenkins-shell
# The shell for containers without one: where `jenkins-agent install` looks, and
# where the kubernetes plugin's injection copies it from.
RUN cd /rootfs/usr && chmod 0755 local/bin/jenkins-agent share/jenkins/jenkins-shell && \
    ln -s ../../share/jenkins/jenkins-shell local/bin/jenkins-shell

FROM scratch AS static
LABEL org.opencontainers.image.title="footman static" \
      org.opencontainers.image.description="Jenkins inbound agent without a JVM: agent, CA roots, busybox" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-only" \
      org.opencontainers.image.source="https://github.com/footman-ci/footman"
COPY --from=rootfs /rootfs/ /
# Group 0 may write as the owner may: an arbitrary uid of OpenShift has it.
COPY --from=rootfs --chown=1000:0 /rootfs/home/ /home/
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/home/jenkins LANG=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 1000
WORKDIR /home/jenkins/agent
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/jenkins-agent", "health"]
ENTRYPOINT ["/usr/local/bin/jenkins-agent"]
