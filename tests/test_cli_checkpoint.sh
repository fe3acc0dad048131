#!/bin/sh
# Checkpoints: damaged ones are told and the one before is used; disks that are full or closed; two runs in one directory.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx small.idx 40 8
idx other.idx 39 8
tiny_model
all='history.csv model.npz codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz model.keras'
train() { "$convt" train --data small.idx --model tiny.json --codes 4 --batch-size 8 --quiet "$@"; }
as_whole() { for file in history.csv model.npz codes.npy; do same "whole/$file" "$1/$file"; done; }

# ---- two generations, also within an epoch ----
expect 0 train --epochs 3 --out whole
expect 0 train --epochs 3 --out often --checkpoint-minutes 0
as_whole often
exists often/checkpoint.npz often/checkpoint-before.npz
# The last of three epochs has 5 batches, and the one before the last checkpoint is behind the last of them.
same whole/checkpoint.npz often/checkpoint.npz
differ whole/checkpoint-before.npz often/checkpoint-before.npz
rm often/checkpoint.npz
expect 0 "$convt" train --resume --out often
grep -q '^going on after batch 5 of epoch 3 of often' out || wrong "where it goes on: $(cat out)"
[ "$(grep -c '^convt: --resume: checkpoint.npz: .*going on from checkpoint-before.npz' err)" -eq 1 ] || wrong "fallback: $(cat err)"
as_whole often

# ---- damage ----
size=$(wc -c <whole/checkpoint.npz)
told=0 places=0
# damaged NAME: the checkpoint at hand must be told in one line or do no harm, and the run ends as it would have.
damaged() {
    cp whole/checkpoint-before.npz run/
    expect 0 "$convt" train --resume --out run --quiet
    as_whole run
    places=$((places + 1))
    [ -s err ] || return 0
    told=$((told + 1))
    if [ "$(wc -l <err)" -ne 1 ] || ! LC_ALL=C grep -aq '^convt: --resume: checkpoint.npz: .*; going on from checkpoint-before.npz$' err; then
        wrong "$1: $(cat err)"
    fi
    # The good one must not make way for the damaged one.
    same whole/checkpoint-before.npz run/checkpoint-before.npz
}
cp -r whole run
for length in 0 1 21 22 100 $((size / 3)) $((size / 2)) $((size - 22)) $((size - 1)); do
    head -c "$length" whole/checkpoint.npz >run/checkpoint.npz
    damaged "cut to $length bytes"
done
{ head -c $((size / 2)) whole/checkpoint.npz && head -c $((size - size / 2)) /dev/zero; } >run/checkpoint.npz
damaged "half of it zeros"
[ $told -eq $places ] || wrong "only $told of $places cuts are told"
# One bit of a byte every so often; what says nothing is a byte that nobody reads, such as a date.
told=0 places=0 at=0
while [ $at -lt "$size" ]; do
    value=$(od -An -tu1 -j $at -N1 whole/checkpoint.npz)
    bit=$((1 << at % 8))
    cp whole/checkpoint.npz run/checkpoint.npz
    # shellcheck disable=SC2059
    printf "$(byte $((value & bit ? value - bit : value + bit)))" | dd of=run/checkpoint.npz bs=1 seek=$at conv=notrunc 2>/dev/null
    damaged "byte $at of $size flipped"
    at=$((at + 97))
done
[ $told -gt $((places / 2)) ] || wrong "only $told of $places flips are told"
echo "$told of $places flips told, none of the others did harm"
# A checkpoint whose members are whole, and of two moments.
python=$(command -v python3)
if [ -n "$python" ]; then
    "$python" - <<'PYTHON'
import zipfile
a, b = zipfile.ZipFile("whole/checkpoint.npz"), zipfile.ZipFile("whole/checkpoint-before.npz")
with zipfile.ZipFile("mixed.npz", "w") as out:
    for name in a.namelist():
        out.writestr(name, (b if name == "state/up/kernel.npy" else a).read(name))
PYTHON
    cp mixed.npz run/checkpoint.npz
    damaged mixed
    grep -q 'do not belong together' err || wrong "members of two checkpoints: $(cat err)"
else
    echo "not tried: members of two checkpoints in one (needs python3)"
fi
# Both.
printf 'x' >run/checkpoint.npz
printf 'y' >run/checkpoint-before.npz
refused 1 '^convt: --resume: checkpoint.npz: .*; checkpoint-before.npz: ' train --resume --out run
rm run/checkpoint.npz run/checkpoint-before.npz
refused 1 '^convt: --resume: checkpoint.npz: .*No such file' train --resume --out run

# ---- of another model, of other data ----
printf '[{"filters": 1, "kernel_size": 8, "activation": "sigmoid"}]' >eight.json
refused 2 '^convt: --model: eight.json, but the run in whole was started with tiny.json' train --resume --out whole --model eight.json
refused 2 '^convt: --data: holds 39x8x8' train --resume --out whole --data other.idx
expect 0 "$convt" train --data other.idx --model eight.json --codes 4 --epochs 2 --out eight --quiet
refused 2 '^convt: --data: holds 40x8x8.*, but the run in eight' train --resume --out eight --data small.idx
expect 0 train --epochs 3 --out eight --force
as_whole eight
# What a replaced run left behind is never the one before: killed in its first epoch, a run has none.
idx large.idx 250 28
"$convt" train --data large.idx --out eight --force >out 2>err &
pid=$!
while [ -e eight/model.npz ] && kill -0 $pid 2>/dev/null; do :; done
kill -KILL $pid
wait $pid
if [ "$(wc -l <eight/history.csv)" -eq 1 ]; then
    absent eight/checkpoint-before.npz
else
    echo "not tried: a kill in the first epoch, which was over before"
fi

# ---- nowhere to write: one line, and what was there is as it was ----
intact() { # DIRECTORY: as `whole` is
    for file in $all; do
        [ ! -e "whole/$file" ] || same "whole/$file" "$1/$file"
    done
    only "$1" "$all"
}
cp -r whole kept
limited() { # where files have no room
    for blocks in 1 2 8 16; do
        (ulimit -f $blocks && train --epochs 3 --out kept --force >out 2>err)
        code=$?
        [ $code -eq 1 ] || wrong "exit $code where files may have $blocks blocks: $(cat err)"
        if [ "$(grep -c '^convt: ' err)" -ne 1 ] || [ "$(wc -l <err)" -ne 1 ]; then wrong "not one line: $(cat err)"; fi
        intact kept
    done
    # With more epochs: the history and the next checkpoint are what does not fit any more, within the run.
    (ulimit -f 16 && "$convt" train --resume --epochs 6 --out kept >out 2>err)
    [ $? -eq 1 ] || wrong "a checkpoint that does not fit is no failure: $(cat err)"
    intact kept
}
if may_limit_files; then limited; fi
if [ "$(id -u)" -ne 0 ]; then
    chmod a-w kept
    refused 1 '^convt: --out: kept: Permission denied' train --resume --epochs 4 --out kept
    chmod u+w kept
    intact kept
fi
mkdir disk
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=96k none disk 2>/dev/null; then
    expect 0 train --epochs 1 --out disk/run
    cp -r disk/run small
    # The rest of the disk goes to something else while it trains on.
    head -c 100000 /dev/zero >disk/filler 2>/dev/null
    refused 1 '^convt: --out: .*No space left' train --resume --epochs 4 --out disk/run --quiet
    for file in small/*; do same "$file" "disk/run/${file##*/}"; done
    rm disk/filler
    mount -o remount,ro disk
    refused 1 '^convt: --out: disk/run: Read-only file system' train --resume --epochs 3 --out disk/run
    refused 1 '^convt: --out: disk/run: Read-only file system' train --data small.idx --out disk/run --force
    for file in small/*; do same "$file" "disk/run/${file##*/}"; done
    mount -o remount,rw disk
    rm -rf disk/run/report.html disk/run/samples.png
    umount disk
else
    echo "not tried: disks that are full or read-only (needs the right to mount one)"
fi

# ---- two runs ----
"$convt" train --data small.idx --model tiny.json --codes 4 --epochs 3000 --out busy >busy.out 2>busy.err &
pid=$!
tries=0
while [ ! -e busy/checkpoint-before.npz ] && [ $tries -lt 600 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
for how in --resume --force ''; do
    # shellcheck disable=SC2086
    refused 1 '^convt: --out: busy is in use: another run' train --data small.idx --out busy $how
done
kill -0 $pid || wrong "the first run does not go on: $(cat busy.err)"
kill -KILL $pid
wait $pid
# Nothing is left of the lock. The kill may have come between two renames: a line more says so then.
expect 2 "$convt" train --resume --out busy --epochs 1
tail -n 1 err | grep -q '^convt: --epochs: 1, but' || wrong "the lock outlives its run: $(cat err)"
finish
