#!/bin/sh
# convt train: files, the same bits for any number of threads and after --resume, both modes.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx small.idx 50 8
tiny_model
results='history.csv model.npz codes.npy samples.png'
train() { "$convt" train --data small.idx --model tiny.json --codes 4 --batch-size 16 "$@"; }

# ---- files ----
expect 0 train --epochs 4 --out full
exists full/history.csv full/model.npz full/codes.npy full/samples.png full/report.html full/checkpoint.npz
only full history.csv model.npz codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz
[ "$(head -n 1 full/history.csv)" = "epoch,loss,mse,learning_rate" ] || wrong "header $(head -n 1 full/history.csv)"
[ "$(wc -l <full/history.csv)" -eq 5 ] || wrong "history has $(wc -l <full/history.csv) lines"
[ "$(grep -c '^epoch' out)" -eq 4 ] || wrong "not one line an epoch: $(cat out)"
grep -q 'full/report.html' out || wrong "where the result is stands nowhere: $(cat out)"
[ ! -s err ] || wrong "stderr: $(cat err)"
awk -F, 'NR == 2 { first = $3 } END { exit !($3 < first) }' full/history.csv || wrong "mse does not fall: $(cat full/history.csv)"
[ "$(od -An -tx1 -N8 full/samples.png | tr -d ' \n')" = 89504e470d0a1a0a ] || wrong "samples.png is no PNG"
grep -q 'id="command">convt train --data small.idx --model tiny.json --codes 4 --epochs 4 ' full/report.html ||
    wrong "the report has no command"
grep -q 'principal component' full/report.html || wrong "the report has no PCA"

# The command in the report does the same again.
sed -n 's/.*id="command">convt \(.*\) --out full<.*/\1/p' full/report.html >repeat
# shellcheck disable=SC2046
expect 0 "$convt" $(cat repeat) --out again
for file in $results; do same "full/$file" "again/$file"; done

# ---- quiet ----
expect 0 train --epochs 1 --out quiet --quiet
if [ -s out ] || [ -s err ]; then wrong "--quiet prints"; fi

# ---- threads ----
for threads in 1 2 3 7; do
    expect 0 train --epochs 4 --out "threads$threads" --threads $threads
    for file in $results; do same "full/$file" "threads$threads/$file"; done
done

# ---- resume: epochs one by one are the same as all at once, where the rate is not made for the length ----
printf '{"learning_rate": 0.5, "momentum": 0.9}' >constant.json
expect 0 train --epochs 4 --out whole --optimizer constant.json --validation-split 0.2
[ "$(head -n 1 whole/history.csv)" = "epoch,loss,mse,val_loss,val_mse,learning_rate" ] || wrong "header with validation"
expect 0 train --epochs 1 --out parts --optimizer constant.json --validation-split 0.2
for epochs in 2 4; do
    expect 0 "$convt" train --resume --out parts --epochs $epochs
done
for file in $results; do same "whole/$file" "parts/$file"; done
expect 0 "$convt" train --resume --out parts
for file in $results; do same "whole/$file" "parts/$file"; done
refused 2 'batch-size: 8, but' train --resume --out parts --batch-size 8
refused 2 '^convt: --seed: 5' train --resume --out parts --seed 5
refused 2 '^convt: --no-shuffle: ' train --resume --out parts --no-shuffle
idx other.idx 49 8
refused 2 '^convt: --data: .*49x8x8' train --resume --out parts --data other.idx
refused 2 '^convt: --epochs: 3' train --resume --out parts --epochs 3
refused 2 '^convt: --x: ' train --resume --out parts --x small.idx --y small.idx

# ---- seeds, order, force ----
expect 0 train --epochs 2 --out seed --seed 1
expect 0 train --epochs 2 --out seed0
differ seed/history.csv seed0/history.csv
expect 0 train --epochs 2 --out order --no-shuffle
differ order/history.csv seed0/history.csv
expect 0 train --epochs 2 --out seed --force
for file in $results; do same "seed/$file" "seed0/$file"; done

# ---- a model with weights is where training starts ----
expect 0 "$convt" train --data small.idx --model full/model.npz --epochs 1 --out more
awk -F, 'NR == 2 { exit !($3 > 0) }' more/history.csv || wrong "no history from a given model"

# ---- the default decoder: other sizes, colour ----
idx odd.idx 20 13
expect 0 "$convt" train --data odd.idx --codes 5 --epochs 1 --out odd --quiet
"$convt" info odd | grep -q '(None, 13, 13, 1)' || wrong "no decoder for 13x13: $("$convt" info odd)"
npy colour.npy '|u1' '(6, 9, 12, 3)'
gzip -dc "$source_dir/examples/data/train-images-2000-idx3-ubyte.gz" | tail -c +17 | head -c $((6 * 9 * 12 * 3)) >>colour.npy
expect 0 "$convt" train --data colour.npy --codes 5 --epochs 1 --batch-size 4 --out colour --quiet
"$convt" info colour | grep -q '(None, 9, 12, 3)' || wrong "no decoder for 9x12x3: $("$convt" info colour)"
exists colour/samples.png
expect 0 "$convt" train --data odd.idx --codes 1 --epochs 1 --batch-size 64 --out one --quiet

# ---- a folder of PNG files ----
mkdir pictures
expect 0 "$convt" sample --run full --out pictures/a.png --count 1 --seed 1
expect 0 "$convt" sample --run full --out pictures/b.png --count 1 --seed 2
expect 0 "$convt" train --data pictures --codes 3 --epochs 1 --out png
grep -q '^2 images of [0-9]*x[0-9]*x1 from pictures' out || wrong "folder: $(cat out)"

# ---- losses ----
expect 0 train --epochs 1 --out mse --loss mse
expect 0 train --epochs 1 --out mae --loss MeanAbsoluteError
sed 's/, "activation": "sigmoid"//' tiny.json >logits.json
expect 0 "$convt" train --data small.idx --model logits.json --codes 4 --epochs 2 --batch-size 16 --out logits --from-logits
awk -F, 'NR > 1 { print $2 }' logits/history.csv >logits.losses
head -n 3 seed0/history.csv | awk -F, 'NR > 1 { print $2 }' >sigmoid.losses
same logits.losses sigmoid.losses
# every row of the table
sed -nE 's/^(SUM_|AXIS_|BATCH_)?LOSS\([A-Z_]+, [0-9]+, [A-Za-z]+, ([a-z_]+),.*/\2/p' "$source_dir/include/convt/losses.def" >names
[ "$(wc -l <names)" -ge 15 ] || wrong "not all losses: $(cat names)"
for name in $(grep -v '^sparse' names); do
    expect 0 train --epochs 1 --out "loss_$name" --loss "$name" --quiet
done
# class numbers: one a pixel, of three classes
sed 's/"filters": 1/"filters": 3/; s/, "activation": "sigmoid"//' tiny.json >classes.json
npy classes.npy '|u1' '(50, 8, 8, 1)'
head -c 3200 /dev/zero | tr '\000' '\002' >>classes.npy
sparse() { "$convt" train --x full/codes.npy --model classes.json --loss sparse_categorical_crossentropy --from-logits --out "$@"; }
expect 0 sparse classes --y classes.npy --epochs 40 --batch-size 5
only classes history.csv model.npz report.html checkpoint.npz checkpoint-before.npz
awk -F, 'NR == 2 { first = $2 } END { exit !($2 < first / 2) }' classes/history.csv || wrong "classes are not learned: $(cat classes/history.csv)"
sed -i 's/"filters": 3/"filters": 4/' classes.json
npy wide.npy '|u1' '(50, 8, 8, 4)'
head -c 12800 /dev/zero >>wide.npy
expect 2 sparse wide --y wide.npy
grep -q 'class numbers are 8x8x1, y is 8x8x4' err || wrong "wide targets: $(cat err)"

# ---- supervised: codes to images ----
expect 0 "$convt" predict --model full/model.npz --in full/codes.npy --out y.npy
for threads in 1 3; do
    expect 0 "$convt" train --x full/codes.npy --y y.npy --model tiny.json --epochs 3 --out "xy$threads" --threads $threads
    only "xy$threads" history.csv model.npz samples.png report.html checkpoint.npz checkpoint-before.npz
done
for file in history.csv model.npz samples.png; do same "xy1/$file" "xy3/$file"; done
expect 0 "$convt" train --x full/codes.npy --y y.npy --model tiny.json --epochs 1 --out xypart
expect 0 "$convt" train --resume --out xypart --epochs 3
for file in history.csv model.npz samples.png; do same "xy1/$file" "xypart/$file"; done
expect 0 "$convt" train --x full/codes.npy --y y.npy --epochs 1 --out xydefault --quiet
exists xydefault/model.npz

# ---- where the images come from without --data ----
(cd "$source_dir" && cp -r examples/data/train-images-2000-idx3-ubyte.gz "$OLDPWD/images.gz")
mkdir -p there/examples/data
mv images.gz there/examples/data/train-images-2000-idx3-ubyte.gz
printf '[{"filters": 1, "kernel_size": 28, "activation": "sigmoid"}]' >plain.json
(cd there && "$convt" train --model ../plain.json --codes 2 --epochs 1 --threads 2 >out 2>err) || wrong "no default images: $(cat there/err)"
exists there/convt-run/report.html
grep -q '2,000 images' there/out || wrong "not the default images: $(cat there/out)"

finish
