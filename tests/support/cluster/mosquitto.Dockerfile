# Eclipse Mosquitto from Debian's package, in the place of the image that the chart names.
ARG BASE=debian:bookworm-slim
FROM $BASE
RUN apt-get update \
 && apt-get install --yes --no-install-recommends mosquitto \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
