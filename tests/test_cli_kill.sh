#!/bin/sh
# SIGKILL at random moments: --resume goes on, and ends with the bits of a run that was never stopped.
#
# CONVT_KILLS (6) moments out of CONVT_SEED (1); `sh tests/kill.sh 100` does more. Where strace works, also at every
# CONVT_CALLS-th (211) call of the system that has to do with files.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
kills=${CONVT_KILLS:-6} seed=${CONVT_SEED:-1} stride=${CONVT_CALLS:-211}
idx small.idx 60 8
tiny_model
cat >averages.json <<'JSON'
{"learning_rate": 0.3, "momentum": 0.9, "nesterov": true, "use_ema": true, "ema_momentum": 0.9, "ema_overwrite_frequency": 7,
 "gradient_accumulation_steps": 2}
JSON

# Kinds of runs, by number: nearly all time is spent on writing checkpoints; between them; another optimizer, held-out
# samples, and checkpoints within the epochs; from x to y.
options_of() {
    case $1 in
    0) echo --data small.idx --codes 4 --batch-size 8 --epochs 4 --checkpoint-minutes 0 ;;
    1) echo --data small.idx --codes 4 --batch-size 4 --epochs 40 --threads 2 ;;
    2) echo --data small.idx --codes 4 --batch-size 16 --epochs 6 --checkpoint-minutes 0 --optimizer averages.json \
        --validation-split 0.2 ;;
    3) echo --x whole0/codes.npy --y y.npy --batch-size 7 --epochs 5 --checkpoint-minutes 0.00001 ;;
    esac
}
start() { # KIND DIRECTORY: in place of the shell, so that its number is that of the run
    # shellcheck disable=SC2046
    exec "$convt" train $(options_of "$1") --model tiny.json --quiet --out "$2"
}
now() { date +%s%N; }

for kind in 0 1 2 3; do
    [ $kind -ne 3 ] || expect 0 "$convt" predict --model whole0/model.npz --in whole0/codes.npy --out y.npy
    begun=$(now)
    (start $kind whole$kind) || wrong "run $kind does not end well"
    eval "length$kind=$((($(now) - begun) / 1000000))"
done

# resumed KIND DIRECTORY: goes on where the run was killed, and compares with the one that was not.
resumed() {
    if [ -e "$2/checkpoint.npz" ] || [ -e "$2/checkpoint-before.npz" ]; then
        minutes=
        [ $(($(echo "$2" | cksum | cut -c 1) % 2)) -eq 0 ] || minutes="--checkpoint-minutes 0"
        # shellcheck disable=SC2086
        expect 0 "$convt" train --resume --out "$2" --quiet $minutes
    else
        early=$((early + 1))
        (start "$1" "$2") || wrong "a run that was killed before its first checkpoint does not start again"
    fi
    for file in history.csv model.npz codes.npy samples.png; do
        [ ! -e "whole$1/$file" ] || same "whole$1/$file" "$2/$file"
    done
    only "$2" history.csv model.npz codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz model.keras
}

# ---- at random moments ----
# One try a line: its number, the kind of run, when to kill it as a share of its length, and when to kill its resumed part.
# A kill may come too late, so there are more lines than kills.
awk -v seed="$seed" -v kills="$kills" 'BEGIN {
    srand(seed)
    for (i = 0; i < 4 * kills; i++) print i, i % 4, 0.9 * rand(), 0.9 * rand()
}' >moments
killed=0 writing=0 early=0 late=0
shoot() { # SHARE KIND DIRECTORY COMMAND...
    eval "length=\$length$2"
    delay=$(awk -v share="$1" -v length_ms="$length" 'BEGIN { printf "%.3f", share * length_ms / 1000 }')
    directory=$3
    shift 3
    "$@" >out 2>err &
    pid=$!
    sleep "$delay"
    kill -KILL $pid 2>/dev/null
    wait $pid
    code=$?
    case $code in
    137) killed=$((killed + 1)) ;;
    0) late=$((late + 1)) ;;
    *) wrong "exit $code before the kill: $(cat err)" ;;
    esac
    for file in "$directory"/*.tmp* "$directory"/checkpoint-next.npz; do
        [ ! -e "$file" ] || { writing=$((writing + 1)) && break; }
    done
}
while [ $killed -lt "$kills" ] && read -r try kind share again; do
    directory=killed$try
    shoot "$share" "$kind" "$directory" start "$kind" "$directory"
    # Every other run is killed twice.
    [ $((try / 4 % 2)) -eq 0 ] || [ ! -e "$directory/checkpoint.npz" ] ||
        shoot "$again" "$kind" "$directory" "$convt" train --resume --out "$directory" --quiet
    resumed "$kind" "$directory"
    rm -rf "$directory"
done <moments
echo "$killed kills with seed $seed: $writing while a file was being written, $early before the first checkpoint; $late others came too late"
[ $killed -ge "$kills" ] || wrong "only $killed kills, and $late that came too late"

# ---- at calls of the system ----
# strace kills at the entry of the n-th call, so every state of the directory between two calls is seen.
calls=open,openat,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,fsync,close,lseek,mkdir,flock
at_call() { # NUMBER DIRECTORY
    # The command starts itself again unless this is set, which would count twice.
    # shellcheck disable=SC2046
    GOMP_SPINCOUNT=10000 strace -o /dev/null -e "trace=$calls" -e "inject=$calls:signal=KILL:when=$1" \
        "$convt" train $(options_of 0) --model tiny.json --quiet --out "$2" >out 2>err
}
if strace -o /dev/null -e inject=close:signal=KILL:when=1 true 2>/dev/null; [ $? -eq 137 ]; then
    number=1 early=0
    while at_call $number called; [ $? -eq 137 ]; do
        [ -d called ] || mkdir called
        resumed 0 called
        rm -rf called
        number=$((number + stride))
    done
    [ $number -gt 400 ] || wrong "the run ended at call $number: $(cat err)"
    echo "killed at every ${stride}th of $number calls, $early times before the first checkpoint"
else
    echo "not tried: kills at calls of the system (needs strace)"
fi
finish
