#!/bin/sh
# convt predict, sample and info on what convt train leaves.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx small.idx 70 8
tiny_model
expect 0 "$convt" train --data small.idx --model tiny.json --codes 4 --epochs 3 --batch-size 16 --out run --quiet

# ---- predict ----
expect 0 "$convt" predict --model run/model.npz --in run/codes.npy --out y.npy
if [ -s out ] || [ -s err ]; then wrong "predict prints"; fi
[ "$(wc -c <y.npy)" -eq $((128 + 70 * 64 * 4)) ] || wrong "y.npy has $(wc -c <y.npy) bytes"
head -c 128 y.npy | grep -q "(70, 8, 8, 1)" || wrong "y.npy has another shape: $(head -c 128 y.npy)"
for threads in 1 2 3; do
    expect 0 "$convt" predict --model run/model.npz --in run/codes.npy --out "y$threads.npy" --threads $threads
    same y.npy "y$threads.npy"
done
expect 0 "$convt" predict --model=run/model.npz --in=run/codes.npy --out=y.npy
same y.npy y1.npy

# A layer that adds up: x = 1 .. 4 on 2x2, a kernel of ones of size 2 and stride 2 repeats every number.
printf '[{"filters": 1, "kernel_size": 2, "strides": 2, "kernel_initializer": "ones"}]' >ones.json
npy x.npy '<f4' '(1, 2, 2, 1)'
printf '\000\000\200\077\000\000\000\100\000\000\100\100\000\000\200\100' >>x.npy
expect 0 "$convt" predict --model ones.json --in x.npy --out four.npy
[ "$(tail -c 64 four.npy | od -An -v -tf4 | tr -s ' \n' ' ')" = " 1 1 2 2 1 1 2 2 3 3 4 4 3 3 4 4 " ] ||
    wrong "ones: $(tail -c 64 four.npy | od -An -v -tf4)"

# float64 and channels_first; integers are read as numbers.
printf '[{"filters": 1, "kernel_size": 1, "kernel_initializer": "ones", "dtype": "float64", "data_format": "channels_first"}]' >first.json
npy x.npy '|u1' '(1, 3, 1, 2)'
printf '\001\002\003\004\005\006' >>x.npy
expect 0 "$convt" predict --model first.json --in x.npy --out sum.npy
[ "$(tail -c 16 sum.npy | od -An -v -tf8 | tr -s ' \n' ' ')" = " 9 12 " ] || wrong "sum: $(tail -c 16 sum.npy | od -An -v -tf8)"

# No samples: an output without samples.
npy none.npy '<f4' '(0, 1, 1, 4)'
expect 0 "$convt" predict --model run/model.npz --in none.npy --out none_y.npy
head -c 128 none_y.npy | grep -q "(0, 8, 8, 1)" || wrong "no samples: $(head -c 128 none_y.npy)"

# ---- sample ----
expect 0 "$convt" sample --run run --out a.png
expect 0 "$convt" sample --run run --out b.png --seed 0 --threads 1
same a.png b.png
expect 0 "$convt" sample --run run --out b.png --seed 1
differ a.png b.png
expect 0 "$convt" sample --run run --out way.png --interpolate 3 5
expect 0 "$convt" sample --run run --out way.png --interpolate 5 5 --count 3
exists a.png way.png

# ---- info ----
for target in run run/model.npz; do
    expect 0 "$convt" info $target
    grep -q '^base .*(None, 4, 4, 6) .* 390 .*relu' out || wrong "info $target: $(cat out)"
    grep -q '^up .*(None, 8, 8, 1) .* 55 .*sigmoid' out || wrong "info $target: $(cat out)"
    grep -q '^total .* 445 ' out || wrong "info $target: $(cat out)"
done
expect 0 "$convt" info --json run
grep -q '"parameters": 445' out || wrong "info --json: $(cat out)"
expect 0 "$convt" info tiny.json
grep -q '^base .*None' out || wrong "info of a config without input: $(cat out)"
expect 0 "$convt" info tiny.json --json
grep -q '"parameters": null' out || wrong "info --json of a config without input: $(cat out)"

# An output that cannot be written is no success.
if [ -e /dev/full ]; then
    "$convt" info run >/dev/full 2>err
    [ $? -eq 1 ] || wrong "info succeeds on /dev/full"
fi

finish
