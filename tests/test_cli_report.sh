#!/bin/sh
# The report in a real browser: it shows its pictures, needs no network, has no errors, fits a phone, follows dark mode.
. "${CONVT_SOURCE_DIR:?}/tests/cli/helpers.sh"
browser=
for name in chromium chromium-browser google-chrome-stable google-chrome chrome; do
    [ -n "$browser" ] || browser=$(command -v "$name") || browser=
done
if [ -z "$browser" ]; then
    [ "${CI-}" != true ] || { echo "FAILED: no browser, and CI=true asks for one"; exit 1; }
    echo "skipped: there is no chromium to open the report with"
    exit 77
fi

gzip -dc "$source_dir/examples/data/train-images-2000-idx3-ubyte.gz" >all
{ printf '\000\000\010\003\000\000\000\060\000\000\000\034\000\000\000\034' && tail -c +17 all | head -c $((48 * 784)); } >images.idx
expect 0 "$convt" train --data images.idx --epochs 3 --batch-size 16 --validation-split 0.25 --out run --quiet
report=run/report.html
exists $report

# One page: nothing in it points elsewhere, and no script.
grep -o '\(src\|href\)="[^"]\{0,5\}' $report | grep -v '"data:' | head -n 3 >links
[ ! -s links ] || wrong "links to elsewhere: $(cat links)"
grep -q 'url(\|@import\|<script\|<link rel="stylesheet\|http' $report && wrong "the page refers to something outside"

# A frame of a given width, and a script that writes down what a reader would see. Windows of the browser are never narrower
# than 500 pixels, frames may be.
{
    echo '<!doctype html><meta charset="utf-8"><iframe id="frame" src="run/report.html"></iframe><pre id="facts"></pre><script>'
    cat <<'JS'
const frame = document.getElementById("frame"), query = new URLSearchParams(location.search);
frame.style.cssText = `border:0;height:900px;width:${query.get("width")}px`;
const facts = {};
const say = () => { document.getElementById("facts").textContent = "FACTS " + Object.entries(facts).map(([k, v]) => k + "=" + v).join(" ") + " END"; };
facts.errors = 0;
addEventListener("error", () => { facts.errors++; say(); });
frame.addEventListener("load", () => {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
    view.addEventListener("error", () => { facts.errors++; say(); });
    const images = [...page.images], style = view.getComputedStyle(page.body);
    facts.images = images.length;
    facts.shown = images.filter(i => i.complete && i.naturalWidth > 0 && i.getBoundingClientRect().width >= 40).length;
    facts.named = images.filter(i => i.alt).length;
    facts.width = root.clientWidth;
    facts.content = root.scrollWidth;
    const inside = e => e.getBoundingClientRect().right <= root.clientWidth + 1 || e.closest(".wide");
    facts.outside = [...page.body.querySelectorAll("*")].filter(e => !inside(e)).length;
    facts.curves = [...page.querySelectorAll("svg path")].filter(p => p.getTotalLength() > 50).length;
    facts.rows = page.querySelectorAll("tbody tr").length;
    facts.font = Math.min(...[...page.querySelectorAll("p,td,dd,pre")].map(e => parseFloat(view.getComputedStyle(e).fontSize)));
    const chart = page.querySelector("svg");
    facts.label = Math.round(parseFloat(view.getComputedStyle(page.querySelector("svg text")).fontSize) * chart.getBoundingClientRect().width / chart.viewBox.baseVal.width * 10) / 10;
    const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(Number); return Math.round(0.2126 * r + 0.7152 * g + 0.0722 * b); };
    facts.paper = light(style.backgroundColor);
    facts.ink = light(style.color);
    facts.title = page.title.replaceAll(" ", "_");
    facts.requests = view.performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length;
    say();
});
JS
    echo '</script>'
} >frame.html

# look NAME WIDTH OPTION...: fills facts.
look() {
    name=$1 width=$2
    shift 2
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --allow-file-access-from-files \
        --user-data-dir="$PWD/profile" --enable-logging=stderr --virtual-time-budget=10000 --window-size=1280,1000 "$@" \
        --dump-dom "file://$PWD/frame.html?width=$width" >dom 2>log || wrong "$name: the browser fails: $(tail -n 3 log)"
    grep 'CONSOLE' log >console
    [ ! -s console ] || wrong "$name: console: $(head -n 3 console)"
    facts=$(sed -n 's/.*<pre id="facts">FACTS \(.*\) END.*/\1/p' dom)
    [ -n "$facts" ] || wrong "$name: the page did not load"
    echo "$name: $facts"
}
# fact NAME: its value.
fact() {
    for pair in $facts; do
        [ "${pair%%=*}" != "$1" ] || echo "${pair#*=}"
    done
}
# holds EXPRESSION over facts, as test(1) takes it.
holds() {
    left=$(fact "$1")
    test "${left:--1}" "$2" "$3" || wrong "$name: $1 is ${left:-nothing}, not $2 $3"
}

for page in wide:1200 phone:390 small:320; do
    look "${page%:*}" "${page#*:}"
    holds errors -eq 0
    holds requests -eq 0
    holds images -ge 60
    holds shown -eq "$(fact images)"
    holds named -eq "$(fact images)"
    holds content -le "${page#*:}"
    holds outside -eq 0
    holds curves -eq 4
    holds rows -eq 4
    [ "$(fact font | cut -d. -f1)" -ge 13 ] || wrong "$name: text of $(fact font) pixels"
    holds paper -gt 230
    holds ink -lt 60
done
# On a phone the curves keep labels that one can read.
look phone 390
[ "$(fact label | cut -d. -f1)" -ge 9 ] || wrong "phone: labels of $(fact label) pixels"

look dark 1200 --blink-settings=preferredColorScheme=0
holds paper -lt 50
holds ink -gt 200
holds shown -eq "$(fact images)"

rm -rf profile
finish
