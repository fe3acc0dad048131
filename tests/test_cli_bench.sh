#!/bin/sh
# convt bench: its rows, in words and in JSON, its lists of layers. Never a time.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"

# rows COUNT: out holds so many JSON objects, each on a line of its own, with the keys that programs read.
rows() {
    [ "$(wc -l <out)" -eq "$1" ] || wrong "$(wc -l <out) rows, not $1: $(cat out)"
    grep -v -E '^\{("[a-z_]+": ("[^"]*"|-?[0-9.]+([eE][-+]?[0-9]+)?)(, |\}$))+$' out >bad
    [ ! -s bad ] || wrong "no JSON object of words and numbers: $(head -n 1 bad)"
    for key in name pass format dtype threads isa ms gflops peak_gflops share useful_share roofline_gflops; do
        [ "$(grep -c "\"$key\": " out)" -eq "$1" ] || wrong "rows without $key"
    done
}
# field KEY: its value in each row, on one line.
field() {
    sed "s/.*\"$1\": \"*\([^,\"}]*\).*/\1/" out | tr '\n' ' ' | sed 's/ $//'
}
is() { # KEY VALUES
    [ "$(field "$1")" = "$2" ] || wrong "$1 is $(field "$1"), not $2"
}

cat >shapes.txt <<'TXT'
# name n ih iw ic oc kh kw sh sw same dil
small 2 4 3 5 3 3 3 2 2 1 1

dilated 1 3 3 2 4 2 3 2 1 0 2
TXT
expect 0 "$convt" bench --shapes shapes.txt --runs 1 --json
rows 8
is name 'small small small small dilated dilated dilated dilated'
is pass 'fwd dx dw step fwd dx dw step'
is format 'nhwc nhwc nhwc nhwc nhwc nhwc nhwc nhwc'
is dtype 'f32 f32 f32 f32 f32 f32 f32 f32'
# 2 * 2 * 4*3 * 5 * 3 * 3*3 = 6480, three times that for a step; 2 * 1 * 3*3 * 2 * 4 * 2*3 = 864.
is flops '6480.0 6480.0 6480.0 19440.0 864.0 864.0 864.0 2592.0'
awk -F'"(ms|gflops|flops)": ' '{ ms = $2 + 0; gflops = $3 + 0; flops = $4 + 0; d = ms * gflops * 1e6 / flops - 1
    if (ms <= 0 || d > 1e-6 || d < -1e-6) exit 1 }' out || wrong "ms * gflops are not the flops: $(cat out)"
# Of the taps of `small`, one in twelve rows and one in nine columns falls outside: 11/12 * 8/9. None of a valid layer does.
awk -F'"(flops|useful_gflops|gflops)": ' '{ part = $4 / $2; want = NR <= 4 ? 88 / 108 : 1
    if (part - want > 1e-6 || want - part > 1e-6) exit 1 }' out || wrong "useful flops: $(cat out)"

expect 0 "$convt" bench --shapes - --runs 1 --json --pass dw,fwd --dtype f64 --format nchw --threads 3 --isa base <shapes.txt
rows 4
is pass 'fwd dw fwd dw'
is dtype 'f64 f64 f64 f64'
is format 'nchw nchw nchw nchw'
is threads '3 3 3 3'
is isa 'base base base base'

expect 0 "$convt" bench --shapes shapes.txt --only small --runs 1
[ "$(grep -c '^small ' out)" -eq 4 ] || wrong "no four rows of small: $(cat out)"
grep -q '^dilated' out && wrong "--only small measures others"
grep -q 'peak' out || wrong "no heading: $(cat out)"

# A line that is none, and numbers that do not fit.
for line in 'x 1 2 3 4' 'x 1 2 3 4 5 1 1 1 1 2 1' 'x 1 2 3 4 5 1 1 1 1 1 1 1' 'x 1 2 3 99999999999999999999 5 1 1 1 1 1 1' \
    'x 1 2 3 -99999999999999999999 5 1 1 1 1 1 1' 'x 1 2 3 4 5 1 1 1 1 1 1x' 'x 1 2 3 4 5 1 1 1 1 1.5 1'; do
    echo "$line" >bad.txt
    refused 1 "^convt: --shapes: bad.txt:1: \"$line\" is not name n ih iw ic oc kh kw sh sw same dil" bench --shapes bad.txt
done

# A config decides on dtype and format; options may say otherwise. Activations whose slope needs z, glu among them.
for activation in linear gelu glu softmax; do
    echo "{\"name\": \"up\", \"filters\": 4, \"kernel_size\": 3, \"strides\": 2, \"padding\": \"same\",
        \"activation\": \"$activation\", \"data_format\": \"channels_first\", \"dtype\": \"float64\",
        \"kernel_regularizer\": {\"class_name\": \"L2\", \"config\": {\"l2\": 0.01}}}" >c.json
    expect 0 "$convt" bench --config c.json --input 2,6,5,3 --runs 1 --json
    rows 4
    is name 'up up up up'
    is dtype 'f64 f64 f64 f64'
    is format 'nchw nchw nchw nchw'
    expect 0 "$convt" bench --config c.json --input 2,6,5,3 --runs 1 --json --dtype f32 --format nhwc --pass dx
    is dtype f32
    is format nhwc
done

# The list that comes along, from anywhere, and random layers that depend on the seed alone.
expect 0 "$convt" bench --list
grep -v '^#' "$source_dir/bench/shapes.txt" >list
same out list
expect 0 "$convt" bench --list --random 20 --seed 7
cp out first
expect 0 "$convt" bench --list --random 25 --seed 7
head -n 20 out >again
same first again
expect 0 "$convt" bench --list --random 20 --seed 8
differ first out
awk '{ f = 2 * $2 * $3 * $4 * $5 * $6 * $7 * $8
    if (NF != 12 || f < 0.05e9 || f > 5e9 || $5 > 2048 || $6 > 512 || $7 > 9 || $8 > 9 || $9 > 4 || $10 > 4) exit 1 }' \
    first || wrong "a random layer is out of range: $(cat first)"

expect 0 "$convt" bench --list --shapes shapes.txt
grep -v '^#' shapes.txt | grep . >lines
same out lines

finish
