#!/bin/sh
# convt info --config: how a layer computes, in words.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"

echo '{"filters": 32, "kernel_size": 2, "strides": 2, "activation": "gelu"}' >wide.json
echo '{"filters": 1, "kernel_size": 3, "data_format": "channels_first", "dtype": "float64"}' >few.json
for config in wide few; do
    expect 0 "$convt" info --config $config.json --input 2,9,7,40 --threads 1 --isa base
    for subject in layer 'kernels: base' forward dz dx dw packing memory threads; do
        [ "$(grep -c "^$subject" out)" -eq 1 ] || wrong "$config says nothing of $subject: $(cat out)"
    done
done
expect 0 "$convt" info --config wide.json --input 2,9,7,40 --json
grep -q '"forward": "' out || wrong "info --config --json: $(cat out)"
grep -q '(9, 7, 40) to (18, 14, 32)' out || wrong "the shapes are not there: $(cat out)"

# Words that other shapes bring: few channels; panels of weights that stream by, or stay while the source does.
while IFS=' ' read -r filters kernel strides input phrase; do
    echo "{\"filters\": $filters, \"kernel_size\": $kernel, \"strides\": $strides}" >shape.json
    expect 0 "$convt" info --config shape.json --input "$input" --threads 1 --isa base
    grep -q "$phrase" out || wrong "$filters $kernel $strides $input: no \"$phrase\" in $(cat out)"
done <<'SHAPES'
64 3 1 2,9,7,1 filters of a kernel row's taps in vector lanes, because channels fill no vectors
512 4 2 8,16,16,512 each of which stays in the cache while the source streams by
512 4 2 8,16,16,512 which stream by for every slab of the source
SHAPES

refused 2 '^convt: --input: is missing' info --config wide.json
refused 2 '^convt: --input: "1,2,3" is not N,H,W,C' info --config wide.json --input 1,2,3
refused 2 '^convt: --input: "1,2,3,0" is not' info --config wide.json --input 1,2,3,0
refused 2 '^convt: --input: "1,2,3,4x" is not' info --config wide.json --input 1,2,3,4x
refused 2 '^convt: --input: "99999999999999999999,2,3,4" is not' info --config wide.json --input 99999999999999999999,2,3,4
refused 2 '^convt: --input: needs --config' info model.npz --input 1,2,3,4
refused 2 '^convt: --config: does not go with a FILE' info model.npz --config wide.json
refused 2 'missing.json' info --config missing.json --input 1,2,3,4
refused 2 '^convt: --isa: .*"none"' info --config wide.json --input 1,2,3,4 --isa none
finish
