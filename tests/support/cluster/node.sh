#!/bin/bash
# The first process of a node: gives it the folders that are its own, then keeps
# containerd, kube-proxy and kubelet running, as systemd does on a Pi. Killing it
# takes its namespaces along, and with them every process and mount of the node.
set -eu
: "${NODE:?}" "${CACHE:?}" "${DISK:?}" "${CONFIG:?}" "${LOGS:?}" "${KUBERNETES:?}" "${ADDRESS:?}"

# The cache may lie below a folder that is about to be covered: hold on to it.
exec 9<"$CACHE"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
for own in /opt /var/lib /var/log; do
    mount --no-canonicalize --bind "/proc/self/fd/9/$DISK$own" "$own"
done
if [ ! -e "$CONFIG" ]; then
    mkdir -p "$CACHE"
    mount --no-canonicalize --bind /proc/self/fd/9 "$CACHE"
fi
exec 9<&-
# The kubelet sets these for the whole machine: let it set copies of them.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
    kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    mkdir -p "/run/sysctl/${setting%/*}"
    cat "/proc/sys/$setting" >"/run/sysctl/$setting"
    mount --bind "/run/sysctl/$setting" "/proc/sys/$setting"
done
# Volumes that the kubelet mounts must be seen by containers that share its folder.
mount --bind /var/lib/kubelet /var/lib/kubelet
mount --make-rshared /var/lib/kubelet

# Names come from the cluster's DNS, which says at once that a registry does not exist.
# (The host's may be a link into /run, which is empty here.)
names=$(realpath --canonicalize-missing /etc/resolv.conf)
[ -e "$names" ] || install -D /dev/null "$names"
mount --bind "$CONFIG/resolv.conf" "$names"
hostname "$NODE"
until ip -4 route show default | grep -q .; do sleep 0.05; done
sysctl -qw net.ipv4.ip_forward=1

keep() {
    local log=$LOGS/$1.log
    shift
    while :; do
        "$@" >>"$log" 2>&1 || true
        sleep 1
    done
}

kubelet() {
    "$KUBERNETES/kubelet" --config "$CONFIG/kubelet.json" \
        --kubeconfig "$CONFIG/kubelet.kubeconfig" --hostname-override "$NODE" \
        --node-ip "$ADDRESS" --node-labels "$LABELS"
}

kube_proxy() {
    # It looks its node up once, and then only after a second, after two, after four.
    until "$KUBERNETES/kubectl" --kubeconfig "$CONFIG/kubelet.kubeconfig" --cache-dir /run/kubectl \
        get node "$NODE" -o 'jsonpath={.status.addresses}' | grep -q .; do sleep 0.2; done
    "$KUBERNETES/kube-proxy" --config "$CONFIG/kube-proxy.json"
}

keep containerd containerd --config "$CONFIG/containerd.toml" &
until ctr version >/dev/null 2>&1; do sleep 0.05; done
keep kubelet kubelet &
keep kube-proxy kube_proxy &
wait
