#!/bin/sh
# Nothing of the command opens a socket: system calls of the network are traced while it trains and predicts.
. "$(dirname "$0")/cli/helpers.sh"

if ! strace -f -o trace true 2>/dev/null; then
    echo "SKIPPED: there is no strace, or it may not trace"
    exit 77
fi
export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" # which cannot be looked for under strace
traced() {
    expect 0 strace -f -qq -e trace=network -o trace "$@"
    [ ! -s trace ] || wrong "system calls of the network: $*: $(head -n 3 trace)"
}

# The trace sees what it should see.
if command -v python3 >/dev/null; then
    strace -f -qq -e trace=network -o trace python3 -c 'import socket; socket.socket()' 2>/dev/null
    [ -s trace ] || wrong "a socket leaves no trace"
fi

tiny_model
idx images 12 8
npy x.npy '<f4' '(2, 1, 1, 4)'
head -c 32 /dev/zero >>x.npy
traced "$convt" train --data images --model tiny.json --codes 4 --epochs 1 --batch-size 4 --quiet --out run
traced "$convt" predict --model run/model.npz --in x.npy --out y.npy
traced "$convt" sample --run run --out grid.png
traced "$convt" info run/model.npz
finish
