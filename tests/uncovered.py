"""Compares the lines that no test runs with tests/uncovered.txt.

    python3 tests/uncovered.py REPORT.json [--list]

REPORT.json is what gcovr --json wrote. Fails when such a line is in a function that the list does not name; says which
names of the list are no longer needed. --list prints the functions and their lines instead.
"""

import json
import pathlib
import sys

LIST = pathlib.Path(__file__).with_name("uncovered.txt")


def uncovered(report):
    """{"file:function": [line, ...]} of lines that never ran."""
    found = {}
    for file in json.loads(pathlib.Path(report).read_text())["files"]:
        functions = sorted((f["lineno"], f["name"]) for f in file["functions"])
        for line in file["lines"]:
            number = line["line_number"]
            if line["count"] or line.get("gcovr/noncode"):
                continue
            above = [name for start, name in functions if start <= number]
            found.setdefault(f"{file['file']}:{above[-1] if above else '?'}", []).append(number)
    return found


def listed():
    """The names of the list: indented lines; the others are reasons."""
    return {line.strip() for line in LIST.read_text().splitlines() if line.startswith("    ")}


def main():
    found, names = uncovered(sys.argv[1]), listed()
    unlisted = sorted(found if "--list" in sys.argv else found.keys() - names)
    for name in unlisted:
        print(name, "never runs: lines", *found[name])
    if "--list" in sys.argv:
        return 0
    for name in sorted(names - found.keys()):
        print(name, "runs: tests/uncovered.txt need not name it")
    return 1 if unlisted else 0


sys.exit(main())
