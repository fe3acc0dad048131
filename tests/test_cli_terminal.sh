#!/bin/sh
# The progress line: one line that redraws on a terminal, plain lines elsewhere, NO_COLOR, narrow terminals.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
command -v script >/dev/null || { echo "skipped: there is no script(1) to make a terminal with"; exit 77; }
idx small.idx 200 8
tiny_model
run="$convt train --data small.idx --model tiny.json --codes 4 --batch-size 4 --epochs 3 --force --out run"

# terminal COLUMNS ENVIRONMENT...: runs it on a terminal of that width; what it shows is in shown.
terminal() {
    columns=$1
    shift
    script -qec "stty cols $columns rows 24; env TERM=xterm LC_ALL=C.UTF-8 $* $run" /dev/null </dev/null >shown 2>&1 ||
        wrong "on a terminal of $columns columns: $(cat shown)"
}
escape=$(printf '\033')
return=$(printf '\r')

terminal 120
grep -q "epoch 3/3" shown || wrong "no epoch: $(cat shown)"
grep -q "images/s" shown || wrong "no rate"
grep -q "ETA 0:0" shown || wrong "no ETA"
grep -q "50/50" shown || wrong "no batches"
grep -q "$escape\[36m" shown || wrong "no colour"
grep -q "$(printf '\342\224\201')" shown || wrong "no bar"
[ "$(tr '\r' '\n' <shown | grep -c 'epoch .*/3 ')" -ge 3 ] || wrong "the line is not redrawn"
[ "$(grep -c "epoch [0-9]" shown)" -eq 1 ] || wrong "more than one line: $(cat shown)"

terminal 120 NO_COLOR=1
grep -q "$escape\[3" shown && wrong "colour in spite of NO_COLOR"
grep -q "epoch 3/3" shown || wrong "no epoch with NO_COLOR"

terminal 120 LC_ALL=C
grep -q "===" shown || wrong "no plain bar in the C locale"

for width in 60 40 20; do
    terminal $width NO_COLOR=1 LC_ALL=C
    tr '\r' '\n' <shown | sed "s/$escape\[K//" | grep '^epoch' | awk -v w=$width 'length >= w { print; exit 1 }' >long ||
        wrong "wider than $width columns: $(cat long)"
done

terminal 100 TERM=dumb
grep -q "$escape" shown && wrong "escapes on a dumb terminal"
[ "$(grep -c '^epoch' shown)" -eq 3 ] || wrong "not one plain line an epoch on a dumb terminal: $(cat shown)"

# Without a terminal: plain lines.
$run >plain 2>err
[ "$(grep -c '^epoch [123]/3  loss [0-9.]*  mse [0-9.]*  [0-9,]* images/s  ' plain)" -eq 3 ] || wrong "plain: $(cat plain)"
grep -q "[$escape$return]" plain && wrong "escapes without a terminal"

# Somebody stops reading: the run goes on to its end.
$run 2>err | head -n 1 >first
[ -s run/report.html ] || wrong "a closed pipe ends the run"

finish
