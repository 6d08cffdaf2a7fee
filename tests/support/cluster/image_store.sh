#!/bin/bash
# Fills a containerd store: image_store.sh FOLDER "IMAGES TO REMOVE" ARCHIVE...
# Runs in namespaces of its own, so that its containerd ends with it.
set -eu
folder=$1
unwanted=$2
shift 2

mkdir -p "$folder/containerd" /run
cat >"$folder/containerd.toml" <<END
version = 2
root = "$folder/containerd"
state = "$folder/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$folder/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "$folder/opt"
END
containerd --config "$folder/containerd.toml" >"$folder/containerd.log" 2>&1 &
server=$!
ctr() { command ctr --address "$folder/socket" --namespace k8s.io "$@"; }
for _ in $(seq 200); do
    ctr version >/dev/null 2>&1 && break
    sleep 0.05
done
for image in $unwanted; do ctr images remove --sync "$image"; done
for archive in "$@"; do ctr images import "$archive"; done
kill "$server"
wait "$server" || true
rm -rf "$folder/state" "$folder/socket" "$folder/socket.ttrpc" "$folder/opt" "$folder/containerd.toml"
