#!/bin/sh
# convt gradcheck: the table, the exit code, JSON, and what is refused.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"

echo '{"filters": 4, "kernel_size": [3, 2], "strides": 2, "padding": "same", "activation": "tanh",
       "kernel_regularizer": "l2", "activity_regularizer": "l1", "kernel_constraint": "max_norm"}' >tanh.json
echo '{"filters": 2, "kernel_size": 3, "data_format": "channels_first", "use_bias": false}' >first.json

expect 0 "$convt" gradcheck --config tanh.json --input 5,4,3 --batch 2 --seed 7
grep -q '^gradient check passed' out || wrong "no verdict: $(cat out)"
for block in 'x  *120  *120' 'kernel  *72  *72' 'bias  *4  *4'; do
    grep -q "^  $block " out || wrong "no row $block in: $(cat out)"
done
expect 0 "$convt" gradcheck --config first.json --input 5,4,3 --directions 3
grep -q 'x  *120  *3 .*(directions)' out || wrong "directions: $(cat out)"
grep -q bias out && wrong "a bias where there is none: $(cat out)"
expect 0 "$convt" gradcheck --config tanh.json --input 5,4,3 --sample 20 --richardson
expect 0 "$convt" gradcheck --config tanh.json --input 5,4,3 --float32 --isa base --threads 1

# Every row of the table in the order in which --rtol decides: what is above it fails.
expect 1 "$convt" gradcheck --config tanh.json --input 5,4,3 --rtol 1e-14
grep -q 'FAILED: .*: wrong gradient' out || wrong "1e-14 passed: $(cat out)"
grep -q 'worst: x\[n [01], h [0-4], w [0-3], c [0-2]\]: backward gives ' out || wrong "no element is named: $(cat out)"
expect 1 "$convt" gradcheck --config tanh.json --input 5,4,3 --float32 --rtol 1e-12
grep -q 'in float32 .*, in float64 ' out || wrong "float32: $(cat out)"

# The same seed gives the same bytes.
for seed in 1 1 2; do
    expect 0 "$convt" gradcheck --config tanh.json --input 5,4,3 --seed $seed --json
    mv out "seed$seed.$(ls | grep -c "^seed$seed")"
done
same seed1.0 seed1.1
differ seed1.0 seed2.0
for key in passed verdict block mode float32 rtol seed forward_calls backward_calls blocks name shape elements checked \
    skipped wrong relative_error index analytic numeric pattern; do
    grep -q "\"$key\": " seed1.0 || wrong "no $key in the JSON: $(cat seed1.0)"
done
grep -q '"passed": true' seed1.0 || wrong "JSON says: $(cat seed1.0)"
expect 1 "$convt" gradcheck --config tanh.json --input 5,4,3 --rtol 1e-14 --json
grep -q '"passed": false' out || wrong "JSON of a failure: $(cat out)"

refused 2 '^convt: gradcheck: --config is missing, or --all' gradcheck
refused 2 '^convt: --input: is missing' gradcheck --config tanh.json
refused 2 '^convt: --input: "5,4" is not H,W,C' gradcheck --config tanh.json --input 5,4
refused 2 '^convt: --input: "5,4,3,2" is not' gradcheck --config tanh.json --input 5,4,3,2
refused 2 '^convt: --input: "5,0,3" is not' gradcheck --config tanh.json --input 5,0,3
refused 2 '^convt: --input: "5,99999999999999999999,3" is not' gradcheck --config tanh.json --input 5,99999999999999999999,3
refused 2 'missing.json' gradcheck --config missing.json --input 5,4,3
refused 2 '^convt: --batch: "0"' gradcheck --config tanh.json --input 5,4,3 --batch 0
refused 2 '^convt: --rtol: "0"' gradcheck --config tanh.json --input 5,4,3 --rtol 0
refused 2 '^convt: --isa: .*"none"' gradcheck --config tanh.json --input 5,4,3 --isa none
refused 2 '^convt: --sample: does not go with --directions' gradcheck --config tanh.json --input 5,4,3 --sample 3 --directions 2
refused 2 '^convt: --float32: ' gradcheck --config tanh.json --input 5,4,3 --float32 --directions 2
refused 2 '^convt: --json: does not go with --all' gradcheck --all --json
refused 2 '^convt: --config: does not go with --all' gradcheck --all --config tanh.json
echo '{"filters": 3, "kernel_size": 3, "activation": "glu"}' >glu.json
refused 2 'glu' gradcheck --config glu.json --input 5,4,3
finish
