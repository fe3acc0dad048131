"""Do other libraries and this project read each other's files?

    python files.py golden          writes the stored files, tests/data/files
    python files.py check REPACK    round trips, fresh; REPACK is the program keras_repack of a build folder

A format is a module with golden(folder) and check(repack, folder), which returns how many files agreed and raises
AssertionError where one does not. A row whose library is not installed is named and skipped.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

FORMATS = ("files_numpy", "files_safetensors", "files_keras")


class Repack:
    """keras_repack IN OUT: the package of one file as another, formats told by content and suffix."""

    def __init__(self, program):
        self.program = program

    def __call__(self, source, target):
        done = subprocess.run([self.program, source, target], capture_output=True, text=True)
        assert done.returncode == 0, f"{source}: {done.stderr.strip()}"
        return target


def main():
    golden = sys.argv[1:] == ["golden"]
    if not golden and (len(sys.argv) != 3 or sys.argv[1] != "check"):
        sys.exit(__doc__)
    failed = False
    for name in FORMATS:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            print(f"{name}: skipped, {missing}")
            continue
        if golden:
            folder = pathlib.Path(__file__).parents[1] / "data" / "files"
            folder.mkdir(parents=True, exist_ok=True)
            module.golden(folder)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{name}: {module.check(Repack(sys.argv[2]), pathlib.Path(folder))} files agree")
            except AssertionError as difference:
                failed = True
                print(f"{name}: {difference}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
