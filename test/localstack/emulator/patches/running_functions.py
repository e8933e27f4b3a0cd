"""A function that is updated while it runs ends in its own time, as at AWS; the next invocation has the new code."""

import threading
import time

from ministack.core import lambda_runtime

POLL_SECONDS = 0.2
# The longest that Lambda lets a function run.
MOST_SECONDS = 900


def install(_app):
    kill = lambda_runtime.kill_workers

    def kill_when_done(workers):
        workers = [worker for worker in workers if worker is not None]
        kill([worker for worker in workers if not is_running(worker)])
        for worker in workers:
            if is_running(worker):
                threading.Thread(target=await_end, args=(worker,), daemon=True).start()

    def await_end(worker):
        end = time.monotonic() + MOST_SECONDS
        while is_running(worker) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        kill([worker])

    lambda_runtime.kill_workers = kill_when_done


def is_running(worker):
    process = worker._proc
    return worker.in_use and process is not None and process.poll() is None
