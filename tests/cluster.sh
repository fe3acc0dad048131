#!/bin/sh
# convt train on three hosts: network namespaces of this machine, joined by a bridge, with delay and loss where the kernel has
# netem. As root, from the repository, after `cmake --preset release && cmake --build build/release`:
#
#   sh tests/cluster.sh [COMMAND]      compares with one process, then takes a host away in mid-run
#
# Needs iproute2 and OpenMPI. Takes about a minute.
set -eu
cd "$(dirname "$0")/.."
convt=$(readlink -f "${1:-build/release/convt}")
scratch=$(mktemp -d)
network=10.213.77
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

take_down() {
    for host in 1 2 3; do
        ip netns pids "convt$host" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns del "convt$host" 2>/dev/null || true
    done
    ip link del convtbr 2>/dev/null || true
    rm -rf "$scratch"
}
trap take_down EXIT
trap 'exit 1' INT TERM

ip link add convtbr type bridge
ip link set convtbr up
netem="no netem in this kernel: hosts without delay and loss"
for host in 1 2 3; do
    ip netns add "convt$host"
    ip link add "convtl$host" type veth peer name eth0 netns "convt$host"
    ip link set "convtl$host" master convtbr up
    ip -n "convt$host" addr add "$network.$host/24" dev eth0
    ip -n "convt$host" link set lo up
    ip -n "convt$host" link set eth0 up
    if ip netns exec "convt$host" tc qdisc add dev eth0 root netem delay 2ms loss 0.5% 2>/dev/null; then
        netem="hosts 2 ms apart each way, 0.5 % of packets lost"
    fi
done
echo "$netem"

# What mpirun starts other hosts with, in place of ssh: a namespace, a name and process numbers of its own.
cat >"$scratch/agent" <<'SH'
#!/bin/sh
host=${1##*.}
shift
exec ip netns exec "convt$host" unshare --uts --pid --fork --mount-proc sh -c "hostname convt$host; $*"
SH
chmod +x "$scratch/agent"
cat >"$scratch/hosts" <<HOSTS
$network.1 slots=1
$network.2 slots=1
$network.3 slots=1
HOSTS
# The kernel's own patience with a silent connection is hours.
cluster() {
    "$scratch/agent" "$network.1" timeout 300 mpirun --leave-session-attached --hostfile "$scratch/hosts" -np 3 \
        --mca plm_rsh_agent "$scratch/agent" --mca plm_rsh_no_tree_spawn 1 \
        --mca btl tcp,self --mca btl_tcp_if_include "$network.0/24" --mca oob_tcp_if_include "$network.0/24" \
        --mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 \
        "$convt" train "$@"
}

echo "== three hosts and one process"
"$convt" train --epochs 2 --quiet --out "$scratch/one"
cluster --epochs 2 --out "$scratch/three"
for file in model.npz codes.npy history.csv checkpoint.npz samples.png; do cmp "$scratch/one/$file" "$scratch/three/$file"; done

echo "== a host taken away"
printf '{"learning_rate": 0.1, "momentum": 0.9}' >"$scratch/sgd.json" # whatever the number of epochs
cluster --epochs 500 --optimizer "$scratch/sgd.json" --out "$scratch/away" >"$scratch/out" 2>"$scratch/err" &
run=$!
for _ in $(seq 600); do
    [ -f "$scratch/away/history.csv" ] && [ "$(wc -l <"$scratch/away/history.csv")" -gt 2 ] && break
    sleep 0.1
done
ip -n convt3 link set eth0 down
begin=$(date +%s)
if wait $run; then
    echo "exit 0 without a host"
    exit 1
fi
seconds=$(($(date +%s) - begin))
echo "ended after $seconds s:"
cat "$scratch/err"
[ "$seconds" -le 30 ]
[ "$(grep -c '^convt: ' "$scratch/err")" -eq 1 ]
epochs=$(wc -l <"$scratch/away/history.csv") # one more than there are
"$convt" train --resume --epochs "$epochs" --quiet --out "$scratch/away"
"$convt" train --epochs "$epochs" --optimizer "$scratch/sgd.json" --quiet --out "$scratch/straight"
for file in model.npz codes.npy history.csv; do cmp "$scratch/straight/$file" "$scratch/away/$file"; done
echo "all checks passed"
