#!/bin/sh
# Wrong input: one line that names what is wrong, the right exit code, and nothing written.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx good.idx 40 8
tiny_model

# ---- images ----
refused 1 '^convt: --data: .*missing.idx' train --data missing.idx
head -c 1000 good.idx >cut.idx
refused 1 '^convt: --data: .*cut.idx' train --data cut.idx
head -c 7 good.idx >stub.idx
refused 1 'stub.idx' train --data stub.idx
gzip -c good.idx | head -c 700 >cut.idx.gz
refused 1 'cut.idx.gz' train --data cut.idx.gz
printf 'no image' >text.idx
refused 1 'text.idx' train --data text.idx
: >empty.idx
refused 1 'empty.idx' train --data empty.idx
mkdir empty_folder
refused 1 'empty_folder' train --data empty_folder
idx none.idx 0 8
refused 1 'none.idx' train --data none.idx

# Headers that claim more than there is.
npy lying.npy '|u1' '(1000000000, 28, 28)'
printf 'few bytes' >>lying.npy
refused 1 'lying.npy' train --data lying.npy
npy huge.npy '<f8' '(4000000000, 4000000000, 4000000000)'
refused 1 'huge.npy' train --data huge.npy
npy rank.npy '|u1' '(3,)'
printf 'abc' >>rank.npy
refused 1 'rank.npy' train --data rank.npy
# Floats that are no shades: 1e38 (0x7e967699) and NaN.
npy large.npy '<f4' '(1, 2, 2)'
printf '\231\166\226\176\000\000\000\000\000\000\000\000\000\000\000\000' >>large.npy
refused 1 'from 0 to ' train --data large.npy
npy nan.npy '<f4' '(1, 2, 2)'
printf '\000\000\300\177\000\000\000\000\000\000\000\000\000\000\000\000' >>nan.npy
refused 1 'NaN' train --data nan.npy
absent convt-run

# ---- a run, its model, and what can be wrong with them ----
expect 0 "$convt" train --data good.idx --model tiny.json --codes 4 --epochs 1 --batch-size 16 --out run --quiet
refused 2 '^convt: --out: run holds a run' train --data good.idx --out run
LC_ALL=C sed 's/(4, 4, 6, 4)/(9, 9, 6, 4)/' run/model.npz >lying.npz
cmp -s lying.npz run/model.npz && wrong "model.npz has no header to lie with"
refused 1 'lying.npz' predict --model lying.npz --in run/codes.npy --out y.npy
head -c 300 run/model.npz >cut.npz
refused 1 'cut.npz' predict --model cut.npz --in run/codes.npy --out y.npy
refused 1 'missing.npz' predict --model missing.npz --in run/codes.npy --out y.npy
refused 1 'missing.npy' predict --model run/model.npz --in missing.npy --out y.npy
refused 2 'missing.json' predict --model missing.json --in run/codes.npy --out y.npy
printf '[{"filters": 3' >broken.json
refused 2 'broken.json' predict --model broken.json --in run/codes.npy --out y.npy
printf '[]' >none.json
refused 2 . predict --model none.json --in run/codes.npy --out y.npy
npy wide.npy '<f4' '(1, 1, 1, 5)'
printf '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >>wide.npy
refused 2 '^convt: x: 5 channels' predict --model run/model.npz --in wide.npy --out y.npy
npy flat.npy '<f4' '(1, 4)'
printf '\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >>flat.npy
refused 2 '^convt: x: rank 2' predict --model run/model.npz --in flat.npy --out y.npy
refused 1 '^convt: --out: ' predict --model run/model.npz --in run/codes.npy --out missing_folder/y.npy
refused 1 'missing' info missing.npz
refused 1 'missing_run' sample --run missing_run --out g.png
refused 2 '^convt: --interpolate: 0 40' sample --run run --out g.png --interpolate 0 40
absent y.npy g.png

# ---- a PNG of another size than the first ----
mkdir pictures
expect 0 "$convt" sample --run run --out pictures/a.png --count 4
expect 0 "$convt" sample --run run --out pictures/b.png --count 9
refused 1 'b.png' train --data pictures --out no
mkdir text_folder
printf 'x' >text_folder/a.png
refused 1 'a.png' train --data text_folder --out no

# ---- models and options that do not fit ----
printf '[{"filters": 1, "kernel_size": 5, "activation": "sigmoid"}]' >five.json
refused 2 '5x5x1.*8x8x1' train --data good.idx --model five.json --out no
refused 2 '^convt: --codes: ' train --data good.idx --model run/model.npz --codes 7 --out no
printf '[{"filters": 1, "kernel_size": 100000, "activation": "sigmoid"}]' >large.json
refused 2 '100000x100000.*[0-9] [TGP]iB' train --data good.idx --model large.json --codes 1000 --out no
printf '[{"filters": 0, "kernel_size": 3}]' >filters.json
refused 2 'filters' train --data good.idx --model filters.json --out no
printf '{"momentum": 2.0}' >momentum.json
refused 2 '^convt: momentum: .*2' train --data good.idx --optimizer momentum.json --out no
printf '{"clipnorm": 1.0, "clipvalue": 2.0}' >clip.json
refused 2 '^convt: clipvalue: .*clipnorm 1 and clipvalue 2' train --data good.idx --optimizer clip.json --out no
printf '{"momentum": ' >cut.json
refused 2 '^convt: cut.json: is no JSON' train --data good.idx --optimizer cut.json --out no
refused 2 'missing.json' train --data good.idx --optimizer missing.json --out no
refused 2 'leaves none' train --data good.idx --validation-split 0.99 --out no
refused 2 'samples' train --x run/codes.npy --y wide.npy --out no
refused 1 '^convt: --resume: ' train --resume --out no
refused 1 'Not a directory' train --data good.idx --model tiny.json --codes 4 --out good.idx/sub
absent no

# ---- a full disk, as far as a program can tell: files may not grow ----
full() { # BLOCKS of 512 bytes, COMMAND...
    blocks=$1
    shift
    may_limit_files || return 0
    (ulimit -f "$blocks" && "$@" >out 2>err)
    code=$?
    [ "$code" -eq 1 ] || wrong "exit $code on a full disk: $*: $(cat err)"
    [ "$(grep -c '^convt: ' err)" -eq 1 ] || wrong "not one line on a full disk: $(cat err)"
}
cp -r run kept
full 2 "$convt" predict --model run/model.npz --in run/codes.npy --out y.npy
absent y.npy
full 1 "$convt" train --data good.idx --model tiny.json --codes 4 --epochs 1 --out run --force --quiet
for file in history.csv model.npz codes.npy samples.png report.html checkpoint.npz; do
    same "run/$file" "kept/$file"
done
only run history.csv model.npz model.keras codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz
mkdir disk
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=8k none disk 2>/dev/null; then
    expect 1 "$convt" predict --model run/model.npz --in run/codes.npy --out disk/y.npy
    grep -q 'No space left' err || wrong "a full disk is not named: $(cat err)"
    only disk
    expect 1 "$convt" train --data good.idx --model tiny.json --codes 4 --epochs 1 --out disk/run --quiet
    grep -q 'No space left' err || wrong "a full disk is not named: $(cat err)"
    umount disk
else
    echo "not tried: a file system that is full (needs the right to mount one)"
fi

# ---- a loss that is no number: the last good state is saved ----
printf '{"learning_rate": 1e30}' >wild.json
expect 1 "$convt" train --data good.idx --model tiny.json --codes 4 --epochs 3 --batch-size 10 --optimizer wild.json --out wild --quiet
grep -q '^convt: loss: .*epoch [0-9]*, batch [0-9]*' err || wrong "NaN names no epoch and batch: $(cat err)"
[ "$(wc -l <err)" -eq 1 ] || wrong "NaN takes more than a line: $(cat err)"
exists wild/model.npz wild/codes.npy wild/report.html wild/history.csv
expect 0 "$convt" predict --model wild/model.npz --in wild/codes.npy --out wild.npy

finish
