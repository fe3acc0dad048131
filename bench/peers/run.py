"""Runs the contestants in turn and writes down what came out; bench/peers.sh says how to start it.

A round asks every contestant once about the same layer: ours first and, channels first, last, the peers in between. What
counts is the median over the rounds. Two threads now and then share one core for a while: a round in which the FMA peak,
which ours measures beside every run, lies below three quarters of the best one is dropped and made again.
"""

import argparse
import datetime
import json
import os
import queue
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/peers"
CONVT = ROOT / "build/release/convt"
IMAGES = ROOT / "examples/data/train-images-2000-idx3-ubyte.gz"
PASSES = ("fwd", "dx", "dw")
ACCEPTABLE_PEAK, REST_SECONDS = 0.75, 0.03
TIMEOUT, SLOW_SECONDS = 240, 4  # of an answer; who takes longer than SLOW_SECONDS is asked once
RANDOM = ("--random", "20", "--seed", "1")


class Contestant:
    """A process that answers lines with lines of JSON."""

    def __init__(self, name, command, threads, lines=1, greets=True, **env):
        self.name, self.lines, self.greets, self.threads = name, lines, greets, threads
        self.command = [str(word) for word in command]
        self.env = {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2"} | env
        self.process, self.version = None, None

    def _start(self):
        cores = sorted(os.sched_getaffinity(0))[: self.threads]
        log = open(BUILD / f"{self.name.replace(' ', '-')}.log", "a")
        self.process = subprocess.Popen(
            self.command, env=os.environ | self.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.answers = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, self.answers), daemon=True).start()
        if self.greets:
            self.version = json.loads(self.answers.get(timeout=TIMEOUT))["version"]

    @staticmethod
    def _read(pipe, answers):
        for line in pipe:
            answers.put(line)
        answers.put("")  # it ended

    def ask(self, line):
        """The answer's lines, [] where there is none; one that dies or never answers starts anew with the next request."""
        try:
            if self.process is None:
                self._start()
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            return [json.loads(self.answers.get(timeout=TIMEOUT)) for _ in range(self.lines)]
        except (queue.Empty, ValueError, OSError) as error:
            print(f"{self.name}: no answer to {line}: {error!r}", file=sys.stderr)
            self.stop()
            return []
        finally:
            time.sleep(REST_SECONDS)  # its threads stop spinning

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Rounds:
    """Samples of several rounds, those that count."""

    best_peak = 0

    def __init__(self, wanted):
        self.wanted, self.kept, self.tried, self.dropped = wanted, [], 0, 0

    def __iter__(self):
        while len(self.kept) < self.wanted and self.tried < 3 * self.wanted:
            self.tried += 1
            yield self.tried
        if not self.kept:
            self.kept = [self.last]

    def add(self, sample, peaks):
        Rounds.best_peak = max([Rounds.best_peak, *peaks])
        self.last = sample
        if peaks and min(peaks) >= ACCEPTABLE_PEAK * Rounds.best_peak:
            self.kept.append(sample)
        else:
            self.dropped += 1


def median(values, digits=5):
    return float(f"{statistics.median(values):.{digits}g}")


def best_formats(answers):
    """{pass: {"ms", "format"}} of several rounds of {pass: {format: ms}}: the format with the lowest median."""
    times = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        for name, formats in answer.items():
            for fmt, ms in formats.items():
                times[name][fmt].append(ms)
    best = {}
    for name, formats in times.items():
        ms, fmt = min((median(samples), fmt) for fmt, samples in formats.items())
        best[name] = {"ms": ms, "format": fmt}
    return best


# ---- layers ------------------------------------------------------------------------------------


def ours(threads, fmt):
    command = [CONVT, "bench", "--shapes", "-", "--json", "--runs", 3, "--threads", threads, "--pass", ",".join(PASSES),
               "--format", fmt]
    return Contestant(f"convt {fmt}", command, threads, lines=len(PASSES), greets=False)


def peer(name, file, threads, **env):
    return Contestant(name, [sys.executable, ROOT / "bench/peers" / file], threads, **env)


def summary(rows):
    """One pass of ours over the rounds."""
    keys = ("ms", "share", "useful_share", "peak_gflops", "roofline_gflops")
    return {key: median([row[key] for row in rows]) for key in keys}


def measure_layer(line, last_format, nhwc, nchw, peers, rounds):
    counted, slow = Rounds(rounds), {}
    for number in counted:
        rows = nhwc.ask(line)
        answers = {}
        if not rows:
            sys.exit(f"{nhwc.name} has no answer to {line}")
        for contestant in peers:
            if contestant.name not in slow:
                start = time.monotonic()
                answers[contestant.name] = (contestant.ask(line) or [{}])[0]
                if time.monotonic() - start > SLOW_SECONDS:
                    slow[contestant.name] = answers[contestant.name]
        last = nchw.ask(line) if last_format else rows
        counted.add((rows, answers, last), [row["peak_gflops"] for row in rows + last])
    kept = [(rows, slow | answers, last) for rows, answers, last in counted.kept]
    result = {"name": line.split()[0], "line": line, "dropped": counted.dropped,
              "convt": {p: summary([rows[i] for rows, _, _ in kept]) for i, p in enumerate(PASSES)},
              "peers": {c.name: best_formats([answers[c.name] for _, answers, _ in kept]) for c in peers}}
    if last_format:
        for i, p in enumerate(PASSES):
            result["convt"][p]["nchw_ms"] = median([last[i]["ms"] for _, _, last in kept])
    row = kept[0][0][0]
    result["gflop"] = float(f"{row['flops'] * 1e-9:.4g}")
    return result, {key: row[key] for key in ("read_gbs", "copy_gbs", "isa")}


def lines_of(args, *source):
    command = [CONVT, "bench", "--list", *source, *(["--only", args.only] if args.only else [])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def measure_layers(args, lines, peers, last_format):
    nhwc, nchw = ours(args.threads, "nhwc"), ours(args.threads, "nchw")
    results = []
    for line in lines:
        result, facts = measure_layer(line, last_format, nhwc, nchw, peers, args.rounds)
        results.append(result)
        print(report.line_of(result), flush=True)
    for contestant in [nhwc, nchw, *peers]:
        contestant.stop()
    return {"shapes": results, "rounds": args.rounds, "dropped": sum(r["dropped"] for r in results),
            "peak_gflops": float(f"{Rounds.best_peak:.4g}"), "versions": {c.name: c.version for c in peers}} | facts


def onednn(args):
    return Contestant("oneDNN", [BUILD / "onednn"], args.threads)


def run_layers(args):
    peers = [onednn(args), peer("PyTorch", "peer_pytorch.py", args.threads),
             peer("TensorFlow", "peer_tensorflow.py", args.threads), peer("JAX", "peer_jax.py", args.threads),
             peer("ONNX Runtime", "peer_onnxruntime.py", args.threads)]
    return measure_layers(args, lines_of(args), peers, True)


def run_random(args):
    return measure_layers(args, lines_of(args, *RANDOM), [onednn(args)], False)


# ---- a training step, a training run -----------------------------------------------------------


def run_step(args):
    threads = args.threads
    convt = Contestant("convt", [ROOT / "build/release/bench_step", threads], threads, greets=False)
    peers = [peer("PyTorch", "peer_pytorch.py", threads)]
    peers += [peer(f"Keras on {name}", "peer_keras.py", threads, KERAS_BACKEND=backend)
              for name, backend in (("TensorFlow", "tensorflow"), ("JAX", "jax"), ("PyTorch", "torch"))]
    counted = Rounds(args.rounds)
    for _ in counted:
        [own] = convt.ask("step 128")
        answers = {c.name: (c.ask("step 128") or [{}])[0] for c in peers}
        counted.add((own, answers), [own["peak_gflops"], own["low_gflops"]])
    for contestant in [convt, *peers]:
        contestant.stop()
    own = [own for own, _ in counted.kept]
    result = {"ms": median([o["ms"] for o in own]), "peak_gflops": median([o["peak_gflops"] for o in own]),
              "flops": own[0]["flops"], "useful_flops": own[0]["useful_flops"], "rounds": args.rounds,
              "dropped": counted.dropped, "versions": {c.name: c.version for c in peers},
              "peers": {c.name: best_formats([a[c.name] for _, a in counted.kept]).get("step") for c in peers}}
    print(report.step_line(result), flush=True)
    return result


def seconds_of(command, threads):
    start = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr}")
    return time.monotonic() - start


def run_train(args):
    """The default run of `convt train`, each program timed from its start to its end."""
    out, threads, epochs = BUILD / "run", args.threads, args.epochs
    pytorch = [sys.executable, ROOT / "bench/peers/train_pytorch.py", IMAGES, "--epochs", epochs, "--threads", threads]
    commands = {"convt": [CONVT, "train", "--data", IMAGES, "--out", out, "--force", "--quiet", "--epochs", epochs,
                          "--threads", threads],
                "PyTorch": pytorch, "PyTorch channels_last": [*pytorch, "--channels-last"]}
    step = Contestant("convt", [ROOT / "build/release/bench_step", threads], threads, greets=False)
    times, peaks = defaultdict(list), []
    for _ in range(args.train_rounds):
        for name, command in commands.items():
            [probe] = step.ask("step 128")
            peaks.append(probe["peak_gflops"])
            times[name].append(seconds_of(command, threads))
            print(f"train {name}: {times[name][-1]:.2f} s", flush=True)
    step.stop()
    return {"epochs": epochs, "rounds": args.train_rounds, "seconds": {n: median(t) for n, t in times.items()},
            "peak_gflops": median(peaks), "flops": probe["flops"] / 128 * 2000 * epochs}


# ---- the command -------------------------------------------------------------------------------

PARTS = {"layers": run_layers, "random": run_random, "step": run_step, "train": run_train}


def parse():
    parser = argparse.ArgumentParser(prog="sh bench/peers.sh")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="few layers, one round, into build/peers/quick")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train-rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", help="layers of these names, NAME,...")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    args = parser.parse_args()
    args.parts = args.parts or list(PARTS)
    if not set(args.parts) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    if args.quick:
        args.rounds, args.epochs, args.out = 1, 2, BUILD / "quick"
        args.only = args.only or "dcgan4,vae3,seed,stride3,random1,random2"
    return args


def main():
    args = parse()
    path = args.out / "performance.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for part in args.parts:
        start = time.monotonic()
        words = [word for word in sys.argv[1:] if word not in PARTS]
        results[part] = PARTS[part](args) | {
            "threads": args.threads, "date": datetime.date.today().isoformat(), "machine": report.machine(),
            "command": shlex.join(["sh", "bench/peers.sh", *words, part])}
        print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)
        report.write(args.out, results)


if __name__ == "__main__":
    main()
