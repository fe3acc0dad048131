"""What run.py measured, as JSON, as tables between the marks of performance.md, and as a picture."""

import json
import math
import os
import re
from pathlib import Path

PASSES = {"fwd": "Forward", "dx": "Gradient of x", "dw": "Gradients of kernel and bias"}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def count(number, noun):
    return f"{number} {noun}" + ("" if number == 1 else "s")


def machine():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{model[1] if model else os.uname().machine}, {count(os.cpu_count(), 'core')}"


def ratio(shape, peer, name):
    """How many times as long the peer takes, None where it has no such pass."""
    theirs = shape["peers"].get(peer, {}).get(name)
    return theirs["ms"] / shape["convt"][name]["ms"] if theirs else None


def ratios(part, peer, name):
    pairs = [(ratio(s, peer, name), s["name"]) for s in part["shapes"]]
    return [(r, n) for r, n in pairs if r]


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def percent(share):
    return f"{100 * share:.0f} %"


def times(value):
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


# ---- lines while it runs -----------------------------------------------------------------------


def line_of(shape):
    words = []
    for name in PASSES:
        own = shape["convt"][name]
        against = times(ratio(shape, "oneDNN", name))
        words.append(f"{name} {own['ms']:.3f} ms {percent(own['useful_share'])}, oneDNN x{against}")
    return f"{shape['name']:12} " + "; ".join(words) + (f"; {shape['dropped']} dropped" if shape["dropped"] else "")


def step_line(step):
    words = [f"{name} {best['ms']:.1f} ms" if best else f"{name} –" for name, best in step["peers"].items()]
    return f"step: convt {step['ms']:.2f} ms, " + ", ".join(words)


# ---- tables ------------------------------------------------------------------------------------


def table(heads, rows, words=1):
    """The first columns are words, the others numbers."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * words + "---:|" * (len(heads) - words)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def origin(part):
    versions = ", ".join(f"{name} {version}" for name, version in part.get("versions", {}).items() if version)
    text = f"{part['date']}, {part['machine']}, {count(part['threads'], 'thread')}: `{part['command']}`"
    return text + (f"; {versions}" if versions else "") + "."


def conditions(part):
    return (f"FMA peak of {count(part['threads'], 'thread')} {part['peak_gflops']:.0f} GFLOP/s in float32 ({part['isa']}), "
            f"memory {part['read_gbs']:.1f} GB/s read and {part['copy_gbs']:.1f} GB/s copied; medians of "
            f"{count(part['rounds'], 'round')}, {part['dropped']} more {'was' if part['dropped'] == 1 else 'were'} dropped.")


def summary_table(part):
    rows = []
    for name, title in PASSES.items():
        for peer in part["shapes"][0]["peers"]:
            found = ratios(part, peer, name)
            if found:
                worst = min(found)
                rows.append([title, peer, times(mean([r for r, _ in found])), f"{times(worst[0])} ({worst[1]})",
                             str(len(found))])
    return table(["pass", "peer", "geometric mean", "worst layer", "layers"], rows, words=2)


KINDS = {"16 and more filters and channels, over 0.2 GFLOP": lambda ic, oc, gflop: min(ic, oc) >= 16 and gflop > 0.2,
         "1 to 3 filters": lambda ic, oc, gflop: oc <= 3}


def shares_table(part):
    """Shares of the peak by kind of layer, and what channels_first costs."""
    rows = []
    for kind, belongs in KINDS.items():
        shapes = [s for s in part["shapes"] if belongs(*map(int, s["line"].split()[4:6]), s["gflop"])]
        for name, title in PASSES.items():
            shares = [(s["convt"][name]["useful_share"], s["name"]) for s in shapes]
            nchw = [(s["convt"][name]["nchw_ms"] / s["convt"][name]["ms"], s["name"]) for s in shapes]
            if shapes:
                rows.append([kind, title, percent(mean([share for share, _ in shares])),
                             f"{percent(min(shares)[0])} ({min(shares)[1]})",
                             f"{times(max(nchw)[0])} ({max(nchw)[1]})"])
    return table(["layers", "pass", "of peak, mean", "lowest", "nchw, worst"], rows, words=2)


def pass_table(part, name):
    peers = [p for p in part["shapes"][0]["peers"] if ratios(part, p, name)]
    rows = []
    for shape in part["shapes"]:
        own = shape["convt"][name]
        row = [shape["name"], f"{shape['gflop']:.3g}", f"{own['ms']:.3f}", percent(own["useful_share"]),
               percent(min(own["roofline_gflops"] / own["peak_gflops"], 1))]
        if "nchw_ms" in own:
            row.append(times(own["nchw_ms"] / own["ms"]))
        rows.append(row + [times(ratio(shape, peer, name)) for peer in peers])
    heads = ["layer", "GFLOP", "ms", "of peak", "roofline"]
    return table(heads + (["nchw"] if "nchw_ms" in part["shapes"][0]["convt"][name] else []) + peers, rows)


def layers_text(part):
    text = ["### The layers of bench/shapes.txt", origin(part) + " " + conditions(part), summary_table(part),
            shares_table(part), "![Shares of the FMA peak](images/performance.svg)"]
    for name, title in PASSES.items():
        text += [f"**{title}**", pass_table(part, name)]
    return text


def random_text(part):
    text = ["### Twenty random layers", origin(part) + " " + conditions(part), summary_table(part)]
    heads = ["layer: name n ih iw ic oc kh kw sh sw same dil"]
    heads += [f"{name}: {what}" for name in PASSES for what in ("of peak", "oneDNN")]
    rows = []
    for shape in part["shapes"]:
        row = [f"`{shape['line']}`"]
        for name in PASSES:
            row += [percent(shape["convt"][name]["useful_share"]), times(ratio(shape, "oneDNN", name))]
        rows.append(row)
    return text + [table(heads, rows)]


def step_text(part):
    seconds = part["ms"] * 1e-3
    rows = [["convt", f"{part['ms']:.2f}", "1"]]
    rows += [[name, f"{best['ms']:.1f} ({best['format']})", times(best["ms"] / part["ms"])]
             for name, best in part["peers"].items() if best]
    share = part["useful_flops"] / seconds * 1e-9 / part["peak_gflops"]
    return ["### A training step of the default decoder, batch 128", origin(part),
            table(["", "ms", "times convt's"], rows),
            f"{part['flops'] * 1e-9:.2f} GFLOP a step ({part['useful_flops'] * 1e-9:.2f} useful): convt runs at "
            f"{percent(share)} of the FMA peak of {part['peak_gflops']:.0f} GFLOP/s in useful flops, over all of the step."]


def train_text(part):
    own = part["seconds"]["convt"]
    rows = [[name, f"{seconds:.1f}", times(seconds / own)] for name, seconds in part["seconds"].items()]
    share = part["flops"] / own * 1e-9 / part["peak_gflops"]
    return [f"### The default run of `convt train`, {part['epochs']} epochs", origin(part),
            table(["", "seconds", "times convt's"], rows),
            f"{part['flops'] * 1e-9:.0f} GFLOP: {percent(share)} of the FMA peak of {part['peak_gflops']:.0f} GFLOP/s, from "
            "the start of the program to its end."]


# ---- the picture -------------------------------------------------------------------------------

COLOURS = {"convt": "#2f6db3", "oneDNN": "#d98a3d", "PyTorch": "#b9bec6"}
WIDTH, LEFT, PANEL, TOP, BOTTOM = 1060, 46, 170, 64, 76
STYLE = """
    text { font-family: "DejaVu Sans", Verdana, Helvetica, sans-serif; font-size: 11px; fill: #26292e }
    .h { font-size: 15px; font-weight: bold } .s { fill: #555b64 } .e { text-anchor: end }
    .grid { stroke: #d5d8dd } .roof { stroke: #a3262a; stroke-width: 2 }
""" + "".join(f"    .{name} {{ fill: {colour} }}\n" for name, colour in COLOURS.items())


def shares(shape, name):
    """Useful flops of each contestant, as shares of the peak."""
    own = shape["convt"][name]
    found = {"convt": own["useful_share"]}
    for peer in list(COLOURS)[1:]:
        if ratio(shape, peer, name):
            found[peer] = own["useful_share"] / ratio(shape, peer, name)
    return found


def panel(part, name, top):
    step = (WIDTH - LEFT - 16) / len(part["shapes"])
    bar = step * 0.8 / len(COLOURS)
    out = [f'<text class="h" x="{LEFT}" y="{top - 10}">{PASSES[name]}</text>']
    for tick in range(0, 101, 25):
        y = top + PANEL * (1 - tick / 100)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f} H{WIDTH - 16}"/><text class="s e" x="{LEFT - 6}" y="{y + 4:.1f}">'
                   f"{tick} %</text>")
    for i, shape in enumerate(part["shapes"]):
        x = LEFT + step * (i + 0.1)
        for k, (who, share) in enumerate(shares(shape, name).items()):
            height = PANEL * min(share, 1.05)
            out.append(f'<rect class="{who}" x="{x + k * bar:.1f}" y="{top + PANEL - height:.1f}" width="{bar - 1:.1f}" '
                       f'height="{height:.1f}"/>')
        own = shape["convt"][name]
        y = top + PANEL * (1 - min(own["roofline_gflops"] / own["peak_gflops"], 1))
        out.append(f'<path class="roof" d="M{x - 1:.1f} {y:.1f} h{3 * bar:.1f}"/>')
        place = f"translate({x + bar * 2:.1f} {top + PANEL + 12}) rotate(-45)"
        out.append(f'<text class="e" transform="{place}">{shape["name"]}</text>')
    return out


def picture(part):
    height = TOP + 3 * (PANEL + BOTTOM)
    described = "Shares of the FMA peak that convt, oneDNN and PyTorch reach in each pass of each layer; the roofline."
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           'role="img" aria-labelledby="title desc">', '<title id="title">Shares of the FMA peak</title>',
           f'<desc id="desc">{described}</desc>', f"<style>{STYLE}</style>",
           f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#fbfaf7"/>']
    for i, name in enumerate(COLOURS):
        out.append(f'<rect class="{name}" x="{LEFT + 110 * i}" y="16" width="12" height="12"/>'
                   f'<text x="{LEFT + 18 + 110 * i}" y="26">{name}</text>')
    x, peak = LEFT + 110 * len(COLOURS), f'{count(part["threads"], "thread")}, {part["peak_gflops"]:.0f} GFLOP/s'
    out.append(f'<path class="roof" d="M{x} 22 h14"/><text x="{x + 20}" y="26">roofline; useful flops, shares of the FMA '
               f"peak of {peak}; best format of each peer</text>")
    for i, name in enumerate(PASSES):
        out += panel(part, name, TOP + i * (PANEL + BOTTOM))
    return "\n".join(out + ["</svg>", ""])


# ---- files -------------------------------------------------------------------------------------

TEXTS = {"layers": layers_text, "random": random_text, "step": step_text, "train": train_text}


def write(folder, results):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    text = json.dumps(results).replace('{"name"', '\n{"name"')  # a line a layer
    (folder / "performance.json").write_text(text + "\n")
    if "layers" in results:
        (folder / "images/performance.svg").write_text(picture(results["layers"]))
    page = folder / "performance.md"
    old = page.read_text() if page.exists() else f"{BEGIN}\n{END}\n"
    before, after = old.split(BEGIN)[0], old.split(END)[1]
    text = [paragraph for part in TEXTS if part in results for paragraph in TEXTS[part](results[part])]
    page.write_text(before + BEGIN + "\n\n" + "\n\n".join(text) + "\n\n" + END + after)
