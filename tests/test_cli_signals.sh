#!/bin/sh
# SIGINT and SIGTERM: what there is is saved, one line says so, and --resume gives what an undisturbed run gives.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
idx small.idx 200 8
tiny_model
# So long that it cannot end before the signal comes; the schedule is made for this length.
epochs=100000

# interrupt SIGNAL DIRECTORY LINES: starts a run, and sends the signal when history.csv has so many lines.
interrupt() {
    "$convt" train --data small.idx --model tiny.json --codes 4 --batch-size 4 --epochs $epochs --out "$2" >out 2>err &
    pid=$!
    tries=0
    while [ ! -f "$2/history.csv" ] || [ "$(wc -l <"$2/history.csv")" -lt "$3" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { wrong "the run makes no progress"; break; }
        sleep 0.05
    done
    kill -"$1" $pid
    wait $pid
    code=$?
}

# Background jobs of a shell ignore SIGINT, and children inherit that: convt sets its own handler anyway.
for signal in INT:130 TERM:143; do
    name=${signal%:*}
    interrupt "$name" "stop$name" 3
    [ $code -eq "${signal#*:}" ] || wrong "exit $code after SIG$name"
    [ "$(wc -l <err)" -eq 1 ] || wrong "not one line after SIG$name: $(cat err)"
    grep -q "^convt: train: stopped by SIG$name.*saved.*--resume" err || wrong "SIG$name is not told: $(cat err)"
    directory=stop$name
    exists "$directory/history.csv" "$directory/model.npz" "$directory/codes.npy" "$directory/samples.png" "$directory/report.html" \
        "$directory/checkpoint.npz"
    only "$directory" history.csv model.npz codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz model.keras
    grep -q "Stopped by SIG$name" "$directory/report.html" || wrong "the report does not tell of SIG$name"
    expect 0 "$convt" predict --model "$directory/model.npz" --in "$directory/codes.npy" --out y.npy
    # History and checkpoint are those of the same epoch, so a second part appends to the first.
    lines=$(wc -l <"$directory/history.csv")
    cp "$directory/history.csv" before.csv
    "$convt" train --resume --out $directory >out 2>err &
    pid=$!
    tries=0
    while [ "$(wc -l <"$directory/history.csv")" -lt $((lines + 2)) ] && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    kill -TERM $pid
    wait $pid
    head -n "$lines" "$directory/history.csv" >head.csv
    same head.csv before.csv
    lines=$(wc -l <"$directory/history.csv")
    [ "$(tail -n 1 "$directory/history.csv" | cut -d, -f1)" -eq $((lines - 1)) ] || wrong "epochs do not count on"
done

# The two runs were stopped at different epochs; as far as both go they agree bit for bit.
rows=$(for d in stopINT stopTERM; do wc -l <$d/history.csv; done | sort -n | head -n 1)
head -n "$rows" stopINT/history.csv >a.csv
head -n "$rows" stopTERM/history.csv >b.csv
same a.csv b.csv

# Stopped between two batches, resumed to its end: the same as never stopped.
"$convt" train --data small.idx --model tiny.json --codes 4 --batch-size 1 --epochs 3 --out whole --quiet
"$convt" train --data small.idx --model tiny.json --codes 4 --batch-size 1 --epochs 3 --out parts --quiet 2>err &
pid=$!
while [ ! -f parts/history.csv ] && kill -0 $pid 2>/dev/null; do :; done
kill -INT $pid 2>/dev/null
wait $pid
code=$?
case $code in
130)
    # No batch is lost.
    place=$(sed -n 's/.*--resume goes on after //p' err)
    expect 0 "$convt" train --resume --out parts
    grep -q "^going on after ${place:-?} of parts" out || wrong "stopped after \"$place\", goes on elsewhere: $(cat out)"
    ;;
0) echo "the run was over before the signal came" ;;
*) wrong "exit $code after SIGINT: $(cat err)" ;;
esac
for file in history.csv model.npz codes.npy samples.png; do same whole/$file parts/$file; done

# ---- before the first batch: the optimizer comes out of a pipe, which gives the signal time ----
mkfifo pipe.json
"$convt" train --data small.idx --model tiny.json --codes 4 --optimizer pipe.json --out none --quiet >out 2>err &
pid=$!
exec 3>pipe.json # opens when convt does
kill -TERM $pid
sleep 0.1
printf '{"learning_rate": 0.1}' >&3
exec 3>&-
wait $pid
code=$?
[ $code -eq 143 ] || wrong "exit $code after SIGTERM before the first batch: $(cat err)"
grep -q '^convt: train: stopped by SIGTERM before the first batch, nothing is saved$' err || wrong "before the first batch: $(cat err)"
absent none
# The second signal does not wait for anything, and has nothing to say.
"$convt" train --data small.idx --model tiny.json --codes 4 --optimizer pipe.json --out none --quiet >out 2>err &
pid=$!
exec 3>pipe.json
kill -INT $pid
sleep 0.1
kill -TERM $pid
sleep 0.3
exec 3>&-
wait $pid
code=$?
if [ $code -ne 143 ] || [ -s err ]; then wrong "exit $code after SIGINT and SIGTERM: $(cat err)"; fi

# ---- while the results are written, which takes a while with many principal components ----
idx many.idx 250 28
at_end() { # DIRECTORY SIGNAL...: the signals when the last epoch stands in the history
    directory=$1
    shift
    "$convt" train --data many.idx --codes 64 --epochs 1 --out "$directory" --quiet >out 2>err &
    pid=$!
    while ! grep -q '^1,' "$directory/history.csv" 2>/dev/null && kill -0 $pid 2>/dev/null; do :; done
    for signal; do kill -"$signal" $pid 2>/dev/null; done
    wait $pid
    code=$?
}
at_end untouched 0
[ $code -eq 0 ] || wrong "exit $code without a signal"
at_end once TERM
case $code in
143) grep -q '^convt: train: \(SIGTERM came at the end, once is whole\|stopped by SIGTERM.*\)$' err || wrong "at the end: $(cat err)" ;;
0) echo "the results were written before the signal came" ;;
*) wrong "exit $code after SIGTERM at the end" ;;
esac
at_end twice INT TERM
case $code in
130 | 143) ;;
0) echo "the results were written before the signals came" ;;
*) wrong "exit $code after two signals" ;;
esac
for directory in once twice; do
    expect 0 "$convt" train --resume --out $directory --quiet
    for file in history.csv model.npz codes.npy samples.png; do same untouched/$file "$directory/$file"; done
    only $directory history.csv model.npz codes.npy samples.png report.html checkpoint.npz checkpoint-before.npz model.keras
done

finish
