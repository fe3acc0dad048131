#!/bin/sh
# Out of memory, everywhere: each call of malloc of a command fails in turn, alone and with all behind it. The command
# does its work all the same, or ends with exit code 1 and one line; an output file is complete or was not touched.
#
#     CONVT_MALLOC_STEPS=100000 ctest --test-dir build/test -R cli_memory      every call; by default 40 of each command
. "$(dirname "$0")/cli/helpers.sh"

if ! "${CC:-cc}" -shared -fPIC -O1 -o failmalloc.so "$source_dir/tests/cli/failmalloc.c" 2>cc.log; then
    echo "SKIPPED: no library to preload can be built: $(head -n 1 cc.log)"
    exit 77
fi
if ! LD_PRELOAD=$PWD/failmalloc.so FAILMALLOC_COUNT=count "$convt" info --help >/dev/null 2>&1 ||
    [ "$(cat count 2>/dev/null || echo 0)" -eq 0 ]; then
    echo "SKIPPED: the command cannot be preloaded (a sanitizer has malloc's place)"
    exit 77
fi
steps=${CONVT_MALLOC_STEPS:-40}
export OMP_NUM_THREADS=1
tiny_model
idx images 12 8
npy x.npy '<f4' '(2, 1, 1, 4)'
head -c 32 /dev/zero >>x.npy
expect 0 "$convt" train --data images --model tiny.json --codes 4 --epochs 1 --batch-size 4 --quiet --out run
cat >layer.json <<'JSON'
{"name": "up", "filters": 2, "kernel_size": 2, "activation": "relu"}
JSON

# try K OUTPUT COMMAND...: with the K-th call failing.
try() {
    k=$1 output=$2
    shift 2
    rm -rf "$output"
    LD_PRELOAD=$PWD/failmalloc.so FAILMALLOC_AT=$k "$convt" "$@" >out 2>err
    code=$?
    case $code in
    0) [ ! -s err ] || wrong "call $k of convt $*: success, and on stderr: $(head -c 300 err)" ;;
    1)
        [ "$(wc -l <err)" -eq 1 ] || wrong "call $k of convt $*: not one line: $(head -c 300 err)"
        ;;
    *) wrong "call $k of convt $*: exit $code ($(head -c 300 err))" ;;
    esac
    [ "$output" = none ] || [ ! -f "$output" ] || [ "$code" -ne 0 ] || same "$output" good
    for left in .*.tmp* *.tmp*; do
        [ ! -e "$left" ] || wrong "call $k of convt $*: $left was left behind"
    done
}

# starve OUTPUT COMMAND...
starve() {
    output=$1
    shift
    LD_PRELOAD=$PWD/failmalloc.so FAILMALLOC_COUNT=$PWD/count "$convt" "$@" >out 2>err || wrong "convt $*: $(cat err)"
    [ "$output" = none ] || [ ! -f "$output" ] || cp "$output" good
    calls=$(cat count)
    echo "convt $1: $calls calls of malloc"
    stride=$(((calls + steps - 1) / steps))
    k=1
    while [ "$k" -le "$calls" ]; do
        try "$k" "$output" "$@"
        FAILMALLOC_ON=1 && export FAILMALLOC_ON
        try "$k" "$output" "$@"
        unset FAILMALLOC_ON
        # the first calls, of the runtime and of options, one by one
        if [ "$k" -lt "$single" ]; then k=$((k + 1)); else k=$((k + stride)); fi
    done
}
single=8

starve none info run/model.npz
starve none info run/model.npz --json
starve none info --config layer.json --input 1,4,4,3 --json
starve none info --config layer.json --input 1,4,4,3
starve y.npy predict --model run/model.npz --in x.npy --out y.npy
starve grid.png sample --run run --out grid.png
starve none gradcheck --config layer.json --input 2,2,3
starve none gradcheck --config layer.json --input 2,2,3 --json
expect 0 "$convt" convert run/model.npz kept.onnx
starve m.onnx convert run/model.npz m.onnx
starve m.npz convert kept.onnx m.npz
# A string of JSON that found no room lost a letter, and the file was written so.
single=200
starve m.safetensors convert run/model.npz m.safetensors
single=8
# From x to y, whose pictures go through memory of their own.
npy y.npy '<f4' '(2, 8, 8, 1)'
head -c 512 /dev/zero >>y.npy
# All that read the model, too: JSON that found no memory for a layer was taken for a model without it.
single=345
starve pair train --x x.npy --y y.npy --model tiny.json --epochs 1 --quiet --out pair
single=8
starve new train --data images --model tiny.json --codes 4 --epochs 1 --batch-size 4 --quiet --out new
finish
