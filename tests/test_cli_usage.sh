#!/bin/sh
# The command line: help, version, and the line and exit code of everything that is refused there.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"

expect 0 "$convt" --version
grep -q '^convt [0-9]*\.[0-9]*\.[0-9]*$' out || wrong "--version says $(cat out)"
expect 0 "$convt" --help
for command in train layer predict sample info bench gradcheck; do
    grep -q "^  $command " out || wrong "$command is not in --help"
done
for command in train layer predict sample info bench gradcheck; do
    expect 0 "$convt" "$command" --help
    grep -q "^usage: convt $command" out || wrong "$command --help has no usage line"
    [ ! -s err ] || wrong "$command --help writes to stderr"
    awk 'length > 130 { exit 1 }' out || wrong "$command --help is wider than 130 columns"
done
for name in data x y model out epochs batch-size loss from-logits optimizer codes codes-learning-rate no-shuffle seed threads \
    validation-split checkpoint-minutes resume force quiet help; do
    "$convt" train --help | grep -q -e "--$name" || wrong "--$name is not in train --help"
done

refused 2 'command is missing'
refused 2 'no such command' paint
refused 2 'no such option' --paint
refused 2 'no such option' train --bathc-size 3
grep -q -e '--bathc-size' err || wrong "the option is not named: $(cat err)"
refused 2 'no such option' train -q
refused 2 'unexpected argument "extra"' train extra
refused 2 'missing' train --out
refused 2 'given twice' train --seed 1 --seed 2
refused 2 'takes no argument' train --quiet=yes
refused 2 '"0" is not an integer of at least 1\|"0" is not an integer from 1' train --batch-size 0
grep -q '^convt: --batch-size: ' err || wrong "--batch-size is not named: $(cat err)"
refused 2 '"0"' train --batch-size=0
refused 2 '"-3"' train --epochs -3
refused 2 '"12x"' train --epochs 12x
refused 2 '""' train --epochs ''
refused 2 '"99999999999999999999"' train --epochs 99999999999999999999
refused 2 '"-1"' train --seed -1
refused 2 '"1"' train --validation-split 1
refused 2 '"nan"' train --validation-split nan
refused 2 '"-1"' train --checkpoint-minutes -1
refused 2 '"inf"' train --codes-learning-rate inf
refused 2 '"-2"' train --threads -2
refused 2 'empty' train --out ''
refused 2 'hinge2' train --loss hinge2
refused 2 'logits' train --loss mse --from-logits
refused 2 'class numbers' train --loss sparse_categorical_crossentropy
refused 2 '^convt: --y: ' train --x x.npy
refused 2 '^convt: --x: ' train --y y.npy
refused 2 '^convt: --codes: ' train --x x.npy --y y.npy --codes 3
refused 2 '^convt: --force: ' train --resume --force
refused 2 '--model' predict
refused 2 '--out' predict --model m.npz --in x.npy
refused 2 '--run' sample
refused 2 'I J' sample --run r --out g.png --interpolate 1
refused 2 '"x"' sample --run r --out g.png --interpolate 1 x
refused 2 '^convt: info: the argument FILE is missing, or --config' info
refused 2 '^convt: layer: --config is missing' layer
refused 2 '^convt: layer: --in is missing' layer --config c.json --out o.npz
refused 2 '^convt: --sgd: needs --steps' layer --config c.json --in i.npz --out o.npz --sgd s.json
refused 2 '^convt: --steps: needs --sgd' layer --config c.json --in i.npz --out o.npz --steps 3
refused 2 'c.json' layer --config c.json --in i.npz --out o.npz
echo '{' >c.json
refused 2 'JSON' layer --config c.json --in i.npz --out o.npz
echo '[{"filters": 2, "kernel_size": 3}, {"filters": 2, "kernel_size": 3}]' >c.json
refused 2 '2 layers' layer --config c.json --in i.npz --out o.npz
printf '{"filters": 2, "kernel_size": 3}\0{' >c.json
refused 2 '^convt: --config: c.json: .*zero byte' layer --config c.json --in i.npz --out o.npz
echo '{"filters": 2, "kernel_size": [3, 0]}' >c.json
refused 2 '^convt: kernel_size: .*3, 0' layer --config c.json --in i.npz --out o.npz
echo '{"filters": 2, "kernel_size": 3}' >c.json
refused 1 'i.npz' layer --config c.json --in i.npz --out o.npz
echo 'no archive' >i.npz
refused 1 'i.npz' layer --config c.json --in i.npz --out o.npz
absent o.npz
refused 2 '^convt: --config: needs --input' bench --config c.json
refused 2 '^convt: --input: needs --config' bench --input 1,2,3,4
refused 2 '^convt: --input: "1,2,3" is not N,H,W,C' bench --config c.json --input 1,2,3
refused 2 '"1,2,3,4,5"' bench --config c.json --input 1,2,3,4,5
refused 2 '^convt: --config: missing.json' bench --config missing.json --input 1,2,3,4
refused 2 '^convt: --shapes: does not go with --config' bench --config c.json --input 1,2,3,4 --shapes s.txt
refused 2 '^convt: --shapes: does not go with --random' bench --random 3 --shapes s.txt
refused 2 '^convt: --random: does not go with --config' bench --config c.json --input 1,2,3,4 --random 3
refused 2 '^convt: --seed: needs --random' bench --seed 3
refused 2 '^convt: --pass: "fwd,up"' bench --pass fwd,up
refused 2 '^convt: --pass: "fwd,,dx"' bench --pass fwd,,dx
refused 2 '^convt: --dtype: "f16"' bench --dtype f16
refused 2 '^convt: --format: "hwc"' bench --format hwc
refused 2 '^convt: --isa: .*"sse9"' bench --isa sse9
refused 2 '"0"' bench --runs 0
refused 1 '^convt: --shapes: s.txt' bench --shapes s.txt
echo 'short 1 2 3' >s.txt
refused 1 's.txt:1: "short 1 2 3"' bench --shapes s.txt
echo '# nothing' >s.txt
refused 1 'no layer' bench --shapes s.txt
echo 'none 1 4 4 0 4 3 3 1 1 1 1' >s.txt
refused 2 '^convt: input: ' bench --shapes s.txt
refused 1 'no layer' bench --only nobody
absent convt-run

# A line feed in a name does not make two lines of the message.
refused 1 'a?b' train --data "a
b"

finish
