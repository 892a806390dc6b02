"""An executor: two units at once, each by a command of its own, as a batch system would start."""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selfmoe.contracts import Ended, Executor, Workers, hookimpl

SELFMOE_API = 1

DO = """
import pickle, sys
work, order = pickle.load(open(sys.argv[1], "rb"))
result = work(order)
pickle.dump(result, open(sys.argv[2], "wb"))
"""


class Commands(Executor):
    """Commands, one a unit."""

    name = "commands"

    def open(self, work, environment):
        return Started(work, environment)


class Started(Workers):
    size = 2

    def __init__(self, work, environment):
        self.work, self.environment = work, {**os.environ, **environment}
        self.folder = tempfile.TemporaryDirectory()
        self.running = {}

    def start(self, unit):
        asked, answer = (Path(self.folder.name, f"{time.time_ns()}.{end}") for end in ("in", "out"))
        asked.write_bytes(pickle.dumps((self.work, unit.order)))
        command = [sys.executable, "-c", DO, str(asked), str(answer)]
        said = answer.with_suffix(".err")
        with said.open("wb") as file:
            process = subprocess.Popen(command, env=self.environment, stderr=file)
        self.running[process] = unit, answer, said

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while True:
            for process in self.running:
                if process.poll() is not None:
                    return self._ended(process)
            if time.monotonic() > end:
                return None
            time.sleep(0.05)

    def _ended(self, process):
        unit, answer, said = self.running.pop(process)
        if process.returncode == 0:
            return Ended(unit, pickle.loads(answer.read_bytes()))
        why = said.read_text().strip().split("\n")[-1]
        return Ended(unit, lost=why or f"ended with {process.returncode}")

    def close(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()
        self.folder.cleanup()


@hookimpl
def register_executors():
    return [Commands]
