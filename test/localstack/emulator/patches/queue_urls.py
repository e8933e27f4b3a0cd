"""A queue's URL names the router, which speaks TLS, and not the process behind it."""

import os

from ministack.services import sqs


def install(_app):
    origin = os.environ["AWS_ENDPOINT_URL"]
    sqs._queue_url_for_account = lambda account, name: f"{origin}/{account}/{name}"
