#!/bin/sh
# The default training run, convt and PyTorch in turn on the same machine, model, batch and threads.
#
#     sh bench/train_versus_pytorch.sh [ROUNDS] [EPOCHS] [THREADS]
#
# Builds build/release, makes build/venv-pytorch, prints one line a run and the ratio of the medians. Both programs are timed
# from start to end by this script's clock, reading of the images and writing of results included.
set -eu
rounds=${1:-3} epochs=${2:-60} threads=${3:-2}
cd "$(dirname "$0")/.."
. tools/setup.sh
need_build_tools
need python3-venv python3 -c 'import venv, ensurepip'
install_missing
build release build/release >/dev/null
images=examples/data/train-images-2000-idx3-ubyte.gz
venv=build/venv-pytorch
if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.13.0 numpy
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

now() { date +%s.%N; }
seconds() { # seconds NAME command...: its wall time, one line in $out/NAME
    name=$1 start=$(now)
    shift
    "$@" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
    awk -v a="$start" -v b="$(now)" -v name="$name" 'BEGIN { printf "%.2f\n", b - a }' >>"$out/$name"
    printf '%-22s %8s s   %s\n' "$name" "$(tail -n 1 "$out/$name")" "$(tail -n 1 "$out/log")"
}
median() { sort -n "$out/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

for _ in $(seq "$rounds"); do
    seconds convt build/release/convt train --data "$images" --out "$out/run" --force --quiet --epochs "$epochs" \
        --threads "$threads"
    seconds pytorch "$venv/bin/python" bench/train_pytorch.py "$images" --epochs "$epochs" --threads "$threads"
    seconds pytorch-channels-last "$venv/bin/python" bench/train_pytorch.py "$images" --epochs "$epochs" \
        --threads "$threads" --channels-last
done
for peer in pytorch pytorch-channels-last; do
    awk -v a="$(median convt)" -v b="$(median "$peer")" -v p="$peer" \
        'BEGIN { printf "median: convt %.2f s, %s %.2f s, ratio %.3f\n", a, p, b, a / b }'
done
