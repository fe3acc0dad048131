#!/bin/sh
# Whole runs have the same bits for any number of threads, whatever OpenMP is told and wherever the system lets them run.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx small.idx 50 8

# Layers large enough that passes are shared among threads: small ones run on the calling thread alone.
model() { # FORMAT DTYPE
    cat <<JSON
[{"name": "base", "filters": 64, "kernel_size": 4, "activation": "elu", "data_format": "$1", "dtype": "$2"},
 {"name": "wide", "filters": 48, "kernel_size": 3, "padding": "same", "activation": "relu", "data_format": "$1", "dtype": "$2",
  "kernel_regularizer": "l2", "activity_regularizer": "l1", "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2}}},
 {"name": "up", "filters": 1, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "sigmoid", "data_format": "$1",
  "dtype": "$2"}]
JSON
}

# The surroundings, one a line: how many threads, and what is set before the command.
cat >surroundings <<'END'
2
3
4
7
16
4 OMP_DYNAMIC=true
4 OMP_DYNAMIC=true OMP_THREAD_LIMIT=2
4 OMP_SCHEDULE=static,1
4 OMP_SCHEDULE=dynamic,3
4 OMP_SCHEDULE=guided
4 OMP_PROC_BIND=close OMP_PLACES=cores
4 OMP_PROC_BIND=spread
7 OMP_NUM_THREADS=2
0 OMP_NUM_THREADS=3
3 OMP_NESTED=true OMP_MAX_ACTIVE_LEVELS=3
4 OMP_WAIT_POLICY=active OMP_STACKSIZE=512k
3 taskset -c 0
END
# A sanitizer, under which a run takes ten times as long, sees in three of them what it sees in all.
[ -z "${CONVT_SANITIZED-}" ] || sed -n -i '2p;7p;15p' surroundings

train() { # OUT THREADS ASSIGNMENT-OR-COMMAND...
    out=$1 threads=$2
    shift 2
    # shellcheck disable=SC2086
    expect 0 env "$@" "$convt" train $options --model model.json --batch-size 20 --epochs 2 --quiet --out "$out" --threads "$threads"
}
# compare NAME OPTION...: runs with one thread, then in all surroundings.
compare() {
    name=$1
    shift
    options=$*
    rm -rf one other
    train one 1
    while read -r threads words; do
        case $words in
        taskset*) command -v taskset >/dev/null || { echo "not tried: $words" && continue; } ;;
        esac
        # shellcheck disable=SC2086
        train other "$threads" $words </dev/null
        for file in history.csv model.npz codes.npy samples.png checkpoint.npz; do
            [ ! -e "one/$file" ] && [ ! -e "other/$file" ] || same "one/$file" "other/$file"
        done
        [ $failures -eq 0 ] || { wrong "$name with $threads threads $words" && break; }
        rm -rf other
    done <surroundings
}

for format in channels_last channels_first; do
    for dtype in float32 float64; do
        model $format $dtype >model.json
        compare "$format $dtype" --data small.idx --codes 8
        compare "$format $dtype, held out samples" --data small.idx --codes 8 --validation-split 0.3 --loss mse
        [ $format = channels_first ] || {
            expect 0 "$convt" predict --model one/model.npz --in one/codes.npy --out y.npy
            cp one/codes.npy x.npy
            compare "$format $dtype, from x to y" --x x.npy --y y.npy --validation-split 0.1
        }
    done
done

# Others give other bits: the comparisons above could have failed.
expect 0 "$convt" train --data small.idx --model model.json --codes 8 --batch-size 19 --epochs 2 --quiet --out other
options="--data small.idx --codes 8"
rm -rf one
train one 1
differ one/history.csv other/history.csv
differ one/model.npz other/model.npz
finish
