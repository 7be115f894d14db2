"""A program that runs beside the server in a test: what it says, and waiting for what it does."""

import subprocess
import time


class Program:
    """Started at once, with its log in `folder`; use it as a context manager. `ready` waits, at the
    beginning, until it can be used."""

    seconds = 40

    def __init__(self, folder, words):
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT)

    def ready(self):
        pass

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def wait(self, look):
        """What look() returns as soon as that is something."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.told()
            found = look()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(self.told())

    def __enter__(self):
        try:
            self.ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
