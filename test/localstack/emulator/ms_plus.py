"""Starts MiniStack with what it lacks of AWS, for one Region: see docs/E2E.md, "The emulator"."""

import importlib.metadata
import os
import sys

# The patches reach into the package: another version may look different inside.
VERSION = "1.5.33"


def main():
    found = importlib.metadata.version("ministack")
    if found != VERSION:
        sys.exit(f"ms_plus.py is written for ministack {VERSION}, and this is {found}")
    log = os.open(os.environ["MS_PLUS_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)

    from ministack import app
    from patches import (
        alarms,
        bucket_tags,
        event_sources,
        global_services,
        iam_resources,
        lambda_errors,
        log_groups,
        queue_urls,
        resource_types,
        running_functions,
        schedules,
    )

    # What is provisioned at home is decided of all types, the added ones too.
    for patch in (
        resource_types,
        bucket_tags,
        global_services,
        iam_resources,
        lambda_errors,
        event_sources,
        running_functions,
        alarms,
        log_groups,
        queue_urls,
        schedules,
    ):
        patch.install(app)
    sys.argv = [sys.argv[0]]
    app.main()


if __name__ == "__main__":
    main()
