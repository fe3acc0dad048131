#!/bin/sh
# convt train under mpirun: the bytes of one process for any number of ranks; what is refused; signals, and ranks that die.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# OpenMPI leaves memory of its own behind, in modules that it has unloaded when a sanitizer looks.
export ASAN_OPTIONS="${ASAN_OPTIONS-detect_leaks=0}:detect_leaks=0"
idx small.idx 203 8
tiny_model

# ---- without MPI: a launcher's environment alone --------------------------------------------------

# lonely VARIABLE=VALUE... -- PATTERN: a process that a launcher has started, and that is not joined with the others.
lonely() {
    settings=
    while [ "$1" != -- ]; do
        settings="$settings $1"
        shift
    done
    # shellcheck disable=SC2086  # a list of assignments
    expect 2 env $settings "$convt" train --data small.idx --out lonely
    if [ -n "$2" ]; then
        [ "$(grep -c '^convt: train: ' err)" -eq 1 ] || wrong "not one line: $(cat err)"
        grep -q "$2" err || wrong "no \"$2\" in $(cat err)"
    else
        ! grep -q '^convt: ' err || wrong "rank 1 says: $(cat err)"
    fi
    absent lonely
}
lonely SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 -- '4 processes were started.*would train the same'
lonely SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 -- ''
lonely PMI_SIZE=2 PMI_RANK=0 -- '2 processes were started'
if ! grep -q 'CONVT_WITH_MPI:BOOL=ON' "$(dirname "$convt")/CMakeCache.txt" || ! command -v mpirun >/dev/null; then
    lonely OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 -- 'build with -DCONVT_WITH_MPI=ON'
    [ "$failures" -eq 0 ] || finish
    echo "no MPI in this build, or no mpirun: nothing of several ranks is tested"
    exit 77
fi

# ---- the same bytes ------------------------------------------------------------------------------

# ranks N ARGUMENT...
ranks() {
    count=$1
    shift
    timeout 120 mpirun --oversubscribe -np "$count" "$convt" train "$@"
}

same_run() { # DIRECTORY DIRECTORY
    for file in model.npz codes.npy history.csv checkpoint.npz checkpoint-before.npz samples.png; do
        if [ -e "$1/$file" ] || [ -e "$2/$file" ]; then same "$1/$file" "$2/$file"; fi
    done
}

# pca DIRECTORY: the comparison in the report of learned codes.
pca() { grep 'id="pca"' "$1/report.html"; }

# equal NAME RANKS ARGUMENT...: one process, and so many ranks each.
equal() {
    name=$1 list=$2
    shift 2
    expect 0 "$convt" train "$@" --quiet --out "$name"
    for n in $list; do
        expect 0 ranks "$n" "$@" --quiet --out "$name-$n"
        [ ! -s out ] || wrong "--quiet on $n ranks says $(cat out)"
        same_run "$name" "$name-$n"
        pca "$name" >one.pca
        pca "$name-$n" >many.pca
        same one.pca many.pca
        [ "$n" -eq 1 ] || rm -rf "$name-$n"
    done
}
images="--data small.idx --model tiny.json --codes 4"
# shellcheck disable=SC2086  # lists of arguments
{
    equal plain "1 2 3 4" $images --epochs 3 --batch-size 32
    # 203 samples: partial last batches in which some ranks are idle; leaves of 3 and of 1; uneven shares.
    equal partial "3 4" $images --epochs 2 --batch-size 40 --validation-split 0.3 --leaves 7
    # More ranks than leaves.
    equal leaves 4 $images --epochs 2 --batch-size 32 --leaves 3 --no-shuffle
}
pca plain | grep -q 'leaves a mean squared error of' || wrong "no PCA: $(pca plain)"
pixels() { gzip -dc "$source_dir/examples/data/train-images-2000-idx3-ubyte.gz" | tail -c +3001 | tr '\002-\377' '\001' | head -c "$1"; }
npy x.npy '|u1' '(50, 1, 1, 4)'
npy y.npy '|u1' '(50, 8, 8, 1)'
pixels 200 >>x.npy
pixels 3200 >>y.npy
mkdir pictures
for i in 01 02 03 04 05 06 07 08 09 10 11 12 13; do expect 0 "$convt" sample --run plain --out pictures/$i.png --count 1 --seed $i; done
sed 's/"kernel_size": 4/"kernel_size": 16/; s/"strides": 2/"strides": 4/' tiny.json >wide.json # to 64x64, as these are
equal folder "2 3" --data pictures --model wide.json --codes 3 --epochs 2 --batch-size 6
equal pairs 3 --x x.npy --y y.npy --model tiny.json --epochs 2 --batch-size 16

# ---- going on ------------------------------------------------------------------------------------

printf '{"learning_rate": 0.1, "momentum": 0.5}' >sgd.json
# shellcheck disable=SC2086
{
    expect 0 ranks 3 $images --epochs 2 --batch-size 32 --out going --optimizer sgd.json
    grep -q '^3 ranks share the 16 leaves of a batch of 32$' out || wrong "how work is shared is not said: $(cat out)"
    [ "$(grep -c '^epoch ' out)" -eq 2 ] || wrong "not one line an epoch: $(cat out)"
    expect 0 "$convt" train $images --epochs 4 --batch-size 32 --quiet --out straight --optimizer sgd.json
}
expect 0 ranks 2 --resume --epochs 3 --quiet --out going
expect 0 "$convt" train --resume --epochs 4 --quiet --out going
for file in model.npz codes.npy history.csv; do same going/$file straight/$file; done
expect 0 ranks 4 --resume --epochs 5 --quiet --out going
expect 0 "$convt" train --resume --epochs 5 --quiet --out straight
for file in model.npz codes.npy history.csv; do same going/$file straight/$file; done

# Checkpoints within an epoch, which other ranks' codes must reach first.
# shellcheck disable=SC2086
expect 0 ranks 3 $images --epochs 3 --batch-size 32 --checkpoint-minutes 0 --quiet --out often
for file in model.npz codes.npy history.csv checkpoint.npz samples.png; do same plain/$file often/$file; done

# ---- what is refused -----------------------------------------------------------------------------

# refused_by_all RANKS CODE PATTERN ARGUMENT...: one line, of rank 0, and the rest is mpirun's.
refused_by_all() {
    count=$1 expected=$2 pattern=$3
    shift 3
    expect "$expected" ranks "$count" "$@"
    [ "$(grep -c '^convt: ' err)" -eq 1 ] || wrong "not one line of $count ranks: $(cat err)"
    grep -q "^convt: .*$pattern" err || wrong "no \"$pattern\" in $(cat err)"
}
refused_by_all 4 2 'batch-size: 3 samples are fewer than the 4 ranks' --data small.idx --model tiny.json --codes 4 --batch-size 3 \
    --out refused
refused_by_all 2 2 'leaves: 1 leaves nothing to share' --data small.idx --model tiny.json --codes 4 --leaves 1 --out refused
refused_by_all 2 2 'loss: dice is no sum over samples' --data small.idx --model tiny.json --codes 4 --loss dice --out refused
refused_by_all 3 1 'missing.idx' --data missing.idx --out refused
refused_by_all 2 2 'unknown' --unknown --out refused
refused_by_all 2 2 'going holds a run' --data small.idx --model tiny.json --codes 4 --out going
refused 2 'was started without it' train --resume --out going --leaves 4
refused 2 'leaves' train --data small.idx --leaves 65537
absent refused

# Rank 1 sees other files, in a folder of its own.
cat >differ.sh <<'SH'
#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" -ne 1 ] || cd other || exit 1
exec "$@"
SH
mkdir other
cp tiny.json other
by_folder() { timeout 120 mpirun --oversubscribe -np 3 sh differ.sh "$convt" train "$@"; }
differing() { # PATTERN ARGUMENT...
    pattern=$1
    shift
    expect 1 by_folder "$@"
    [ "$(grep -c '^convt: ' err)" -eq 1 ] || wrong "not one line: $(cat err)"
    grep -q "^convt: .*$pattern.*(rank 1)" err || wrong "no \"$pattern\" of rank 1 in $(cat err)"
}
differing 'small.idx.*No such file' --data small.idx --model tiny.json --codes 4 --out "$PWD/refused"
idx other/small.idx 202 8
differing 'ranks differ in data content: 202x.*203x' --data small.idx --model tiny.json --codes 4 --batch-size 40 --out "$PWD/refused"
head -c 13000 small.idx >other/small.idx
differing 'small.idx: .*ends after' --data small.idx --model tiny.json --codes 4 --batch-size 40 --out "$PWD/refused"
cp small.idx other
printf 'x' | dd of=other/small.idx bs=1 seek=2070 conv=notrunc 2>/dev/null
cmp -s small.idx other/small.idx && printf 'y' | dd of=other/small.idx bs=1 seek=2070 conv=notrunc 2>/dev/null
differing 'ranks differ in samples of the data: ' --data small.idx --model tiny.json --codes 4 --batch-size 40 --out "$PWD/refused"
cp small.idx other
sed 's/"filters": 6/"filters": 7/' tiny.json >other/tiny.json
differing 'ranks differ in ' --data small.idx --model tiny.json --codes 4 --batch-size 40 --out "$PWD/refused"
cp tiny.json other

# Folders of pictures. Of 6 leaves rank 1 has the third and the fourth, and reads no other picture but a few that all compare.
cp wide.json other
pictures="--data pictures --model wide.json --codes 3 --epochs 2 --batch-size 6 --quiet"
# shellcheck disable=SC2086
{
    differing 'pictures.*No such file' $pictures --out "$PWD/refused"
    cp -r pictures other
    echo "no picture" >other/pictures/06.png
    expect 0 by_folder $pictures --out "$PWD/folder-other"
    same_run folder folder-other
    echo "no picture" >other/pictures/04.png
    differing '04.png: ' $pictures --out "$PWD/refused"
    cp pictures/06.png other/pictures
    rm other/pictures/04.png
    differing 'ranks differ in data content: 12x.*13x' $pictures --out "$PWD/refused"
    rm other/pictures/*.png
    differing 'pictures.*holds no PNG file' $pictures --out "$PWD/refused"
}
cat >differ.sh <<'SH'
#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" -ne 1 ] || { CONVT_ISA=base; export CONVT_ISA; }
exec "$@"
SH
if ! grep -q '<dt>instruction set</dt><dd>base</dd>' plain/report.html; then
    differing 'ranks differ in instruction set' --data small.idx --model tiny.json --codes 4 --batch-size 40 --out "$PWD/refused"
fi
absent refused

# ---- losses that are no number, and signals ------------------------------------------------------

printf '{"learning_rate": 1e30}' >wild.json
# shellcheck disable=SC2086
{
    expect 1 "$convt" train $images --batch-size 32 --optimizer wild.json --quiet --out wild
    cp err one.err
    expect 1 ranks 3 $images --batch-size 32 --optimizer wild.json --quiet --out wild-3
}
grep '^convt: ' err | sed 's/wild-3/wild/' >many.err
same one.err many.err
same_run wild wild-3

# until_lines LINES FILE: waits for so many lines.
until_lines() {
    tries=0
    while [ ! -f "$2" ] || [ "$(wc -l <"$2")" -lt "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { wrong "the run makes no progress"; break; }
        sleep 0.05
    done
}

# members DIRECTORY: process numbers of the ranks that write there, rank 0 first; not of the witness beside it.
members() {
    for process in $(pgrep -f "^$convt train .*--out $1\$"); do
        [ "$(cat "/proc/$process/comm")" != "$(basename "$convt")" ] || echo "$process"
    done
}

# witnessed PATTERN: the one line of a run that was ended, and nothing of it is left.
witnessed() {
    [ "$(grep -c '^convt: ' err)" -eq 1 ] || wrong "not one line: $(cat err)"
    grep -q "^convt: train: $1\$" err || wrong "no \"$1\" in $(cat err)"
}

# A signal to the last of three ranks alone, which tells the others. Of 2 leaves it has none.
for leaves in 8 2; do
    # shellcheck disable=SC2086
    set -- $images --batch-size 8 --leaves $leaves --optimizer sgd.json
    rm -rf heard unheard
    ranks 3 "$@" --epochs 100000 --out heard >out 2>err &
    run=$!
    until_lines 3 heard/history.csv
    kill -TERM "$(members heard | tail -n 1)"
    wait $run
    code=$?
    [ $code -eq 143 ] || wrong "exit $code after SIGTERM, $leaves leaves"
    [ "$(grep -c '^convt: train: stopped by SIGTERM.*saved' err)" -eq 1 ] || wrong "SIGTERM is not told: $(cat err)"
    exists heard/model.npz heard/codes.npy heard/report.html
    [ -z "$(pca heard)" ] || wrong "there was time for PCA: $(pca heard)"
    lines=$(wc -l <heard/history.csv)
    expect 0 "$convt" train --resume --epochs $((lines + 1)) --quiet --out heard
    expect 0 "$convt" train "$@" --epochs $((lines + 1)) --quiet --out unheard
    for file in model.npz codes.npy history.csv; do same heard/$file unheard/$file; done
done

# shellcheck disable=SC2086
{
    # A rank that is killed takes the others with it; one line says so, and the checkpoint goes on.
    for rank in 2 0; do
        rm -rf killed
        ranks 3 $images --batch-size 8 --epochs 100000 --optimizer sgd.json --out killed >out 2>err &
        run=$!
        until_lines 3 killed/history.csv
        kill -KILL "$(members killed | sed -n "$((rank + 1))p")"
        begin=$(date +%s)
        wait $run && wrong "exit 0 after a rank was killed"
        [ $(($(date +%s) - begin)) -le 10 ] || wrong "the others went on for $(($(date +%s) - begin)) s"
        ! pgrep -f "^$convt train .*--out killed\$" >/dev/null || wrong "processes are left"
        witnessed "rank $rank is gone, and the run with it; killed holds the state after epoch [0-9]*, --resume goes on"
    done
    lines=$(wc -l <killed/history.csv)
    expect 0 "$convt" train --resume --epochs $((lines + 1)) --quiet --out killed
    expect 0 "$convt" train $images --batch-size 8 --epochs $((lines + 1)) --optimizer sgd.json --quiet --out alive
    for file in model.npz codes.npy history.csv; do same killed/$file alive/$file; done
}

# What the witness says in time, on a busy machine, too.
export OMPI_MCA_odls_base_sigkill_timeout=2

# A rank that is gone before MPI has joined them.
cat >differ.sh <<'SH'
#!/bin/sh
[ "$OMPI_COMM_WORLD_RANK" -ne 1 ] || exit 3
exec "$@"
SH
# shellcheck disable=SC2086
expect 3 by_folder $images --out "$PWD/never"
witnessed 'told to end and not yet able to, maybe because a rank is gone; it had not begun'
absent never

# A batch that takes longer than mpirun's patience. Whoever sends a signal to rank 0 alone waits for the batch, and is told
# nothing before; whoever ends mpirun does not hear that a rank were gone.
cat >slow.json <<'JSON'
[{"name": "a", "filters": 64, "kernel_size": 50, "activation": "relu"},
 {"name": "b", "filters": 64, "kernel_size": 25, "padding": "same", "activation": "relu"},
 {"name": "c", "filters": 1, "kernel_size": 5, "padding": "same", "activation": "sigmoid"}]
JSON
idx large.idx 60 50
slowly() { ranks 2 --data large.idx --model slow.json --codes 4 --leaves 2 --batch-size 60 --epochs 1000 --out "$1" >out 2>err; }
slowly slow &
run=$!
until_lines 1 slow/history.csv
kill -TERM "$(members slow | head -n 1)"
sleep 1.5
[ ! -s err ] || wrong "a signal to rank 0: $(cat err)"
kill -KILL "$(members slow | head -n 1)"
wait $run
slowly late &
run=$!
until_lines 1 late/history.csv
kill -TERM "$(ps -o ppid= -p "$(members late | head -n 1)" | tr -d ' ')" # mpirun
wait $run
[ "$(grep -c '^convt: ' err)" -eq 0 ] || wrong "a signal to mpirun: $(cat err)"
finish
