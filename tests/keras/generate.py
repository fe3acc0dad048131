"""Writes random cases, each with what Keras (or PyTorch) says.

    python generate.py OUT [--layer N] [--loss N] [--schedule N] [--torch N] [--seed S] [--jobs J]

A case depends on seed, kind and index alone. XLA aborts the process on some valid cases, so that cases are made by worker
processes; what was skipped is printed with its reason.
"""

import argparse
import collections
import importlib
import pathlib
import queue
import subprocess
import sys
import threading

from draw import generator
from store import Skip, write_case

MODULES = {"layer": "layers", "loss": "losses", "schedule": "schedules", "torch": "pytorch"}


def work(out, seed):
    """A worker: a line `kind index` comes in, a line `ok` or `skip reason` goes out."""
    # What libraries print must not end up among the answers.
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        kind, index = line.split()
        make = importlib.import_module(MODULES[kind]).case
        try:
            description, arrays = make(generator(seed, kind, int(index)), int(index))
            name = f"{kind}-{int(index):04d}"
            write_case(out / (name + ".npz"), {"name": name, "seed": seed, **description}, arrays)
            answer = "ok"
        except Skip as skip:
            answer = f"skip {skip}"
        print(answer, file=answers, flush=True)


class Worker:
    def __init__(self, arguments):
        self.command = [sys.executable, __file__, str(arguments.out), "--seed", str(arguments.seed), "--worker"]
        self.process = None

    def make(self, task):
        """None, or why there is no case."""
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, text=True)  # fmt: skip
            self.said = collections.deque(maxlen=200)
            threading.Thread(target=self.said.extend, args=(self.process.stderr,), daemon=True).start()
        self.process.stdin.write("%s %d\n" % task)
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer == "ok":
            return None
        if answer:
            return answer.removeprefix("skip ")
        code = self.process.wait()
        self.process = None
        said = [line.strip() for line in self.said if line.strip()]
        if code > 0:  # an exception in the generator itself
            raise RuntimeError("\n".join(["%s %d: the generator failed" % task, *said]))
        fatal = next((line for line in said if line.startswith("F") or "Check failed" in line), said[-1] if said else "")
        return f"XLA ended the process with signal {-code}: {fatal[:200]}"

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    for kind in MODULES:
        parser.add_argument("--" + kind, type=int, default=0, help=f"how many cases of kind {kind}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.out, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)

    tasks = queue.Queue()
    for kind in MODULES:
        for index in range(getattr(arguments, kind)):
            tasks.put((kind, index))
    counts, failures, lock = collections.Counter(), [], threading.Lock()

    def run():
        worker = Worker(arguments)
        while not failures:
            try:
                task = tasks.get_nowait()
            except queue.Empty:
                return worker.stop()
            try:
                reason = worker.make(task)
            except RuntimeError as error:
                return failures.append(error)
            with lock:
                counts[(task[0], "aborted" if (reason or "").startswith("XLA") else "skipped" if reason else "written")] += 1
                if reason:
                    print("%s %d: skipped: %s" % (*task, reason), flush=True)

    threads = [threading.Thread(target=run) for _ in range(arguments.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(str(failures[0]))
    for kind in MODULES:
        if getattr(arguments, kind):
            told = [f"{counts[(kind, what)]} {what}" for what in ("written", "skipped", "aborted")]
            print(f"{kind}: {', '.join(told)}")


if __name__ == "__main__":
    main()
