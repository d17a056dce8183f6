"""The other end of `wkv bench --worker`'s protocol: a process that is asked line by line."""

import json
import subprocess


class WorkerFailed(RuntimeError):
    pass


class Worker:
    """Started and loaded when it is made."""

    def __init__(self, name, command, environment, log):
        self.name, self.log = name, log
        with open(log, "a") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        self.facts = self._answer()

    def ask(self, command):
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it died of is told below
        return self._answer()

    def quit(self):
        self.process.communicate("quit\n")

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise WorkerFailed(f"{self.name} ended with status {self.process.wait()}: see {self.log}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(f"{self.name}: {answer['error']}")
        return answer
