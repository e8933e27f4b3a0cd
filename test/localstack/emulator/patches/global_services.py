"""
IAM and Route 53 have one home, the process of us-east-1, as their control planes have at AWS. What CloudFormation
makes of their resources in another Region is made there, and every process evaluates policies by a copy that the home
writes to a file. Sessions of STS are made in any Region and known in all, each by a file.
"""

import json
import os
import pickle
import threading
import urllib.error
import urllib.request
from pathlib import Path

from ministack.core.responses import set_request_account_id, set_request_region
from ministack.services import iam, sts
from ministack.services.cloudformation import provisioners

SHARED = Path(os.environ["MS_PLUS_SHARED"])
HOME = os.environ.get("MS_PLUS_HOME")  # where the home listens; absent in the home itself
ACCOUNT = os.environ["AWS_ACCESS_KEY_ID"]
PATH = "/_ms_plus/provision"
GLOBAL = ("AWS::IAM::", "AWS::Route53::")
STORES = ("_roles", "_policies", "_users", "_groups", "_access_keys", "_user_inline_policies", "_group_inline_policies")
WAIT_SECONDS = 20

_lock = threading.Lock()
_seen = 0


def install(app):
    sts._sessions = Sessions()
    if HOME is None:
        publish_what_iam_changes(app)
    else:
        provision_at_home(app)


# --- the copy of IAM ---


def publish():
    with _lock:
        state = pickle.dumps({name: getattr(iam, name)._data for name in STORES})
        replace(SHARED / "iam", state)


def refresh():
    """Takes over what the home has written since."""
    global _seen
    if HOME is None:
        return
    try:
        written = (SHARED / "iam").stat().st_mtime_ns
    except FileNotFoundError:
        return
    if written == _seen:
        return
    with _lock:
        state = pickle.loads((SHARED / "iam").read_bytes())
        for name, data in state.items():
            getattr(iam, name)._data = data
        _seen = written


def publish_what_iam_changes(app):
    handle = iam.handle_request

    async def handle_and_publish(*args):
        answer = await handle(*args)
        publish()
        return answer

    iam.handle_request = handle_and_publish
    for kind, operations in provisioners._RESOURCE_HANDLERS.items():
        if kind.startswith("AWS::IAM::"):
            for name, work in list(operations.items()):
                if callable(work):
                    operations[name] = published(work)
    serve = app.app

    async def with_provisioning(scope, receive, send):
        if scope["type"] != "http" or scope["path"] != PATH:
            return await serve(scope, receive, send)
        status, answer = provision(json.loads(await body_of(receive)))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    app.app = with_provisioning


def published(work):
    def work_and_publish(*args, **named):
        try:
            return work(*args, **named)
        finally:
            publish()

    return work_and_publish


def provision(asked):
    set_request_account_id(ACCOUNT)
    set_request_region(asked["region"])
    try:
        work = provisioners._RESOURCE_HANDLERS[asked["type"]][asked["operation"]]
        return 200, work(*asked["args"], **asked["named"])
    except Exception as error:
        return 400, str(error)


async def body_of(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


# --- the other Regions ---


def provision_at_home(app):
    for kind, operations in provisioners._RESOURCE_HANDLERS.items():
        if kind.startswith(GLOBAL):
            for name, work in list(operations.items()):
                if callable(work):
                    operations[name] = asking_home(kind, name)
    serve = app.app

    async def with_refresh(scope, receive, send):
        if scope["type"] == "http":
            refresh()
        return await serve(scope, receive, send)

    app.app = with_refresh


def asking_home(kind, operation):
    def ask(*args, **named):
        region = os.environ["MINISTACK_REGION"]
        asked = {"type": kind, "operation": operation, "args": args, "named": named, "region": region}
        request = urllib.request.Request(f"{HOME}{PATH}", json.dumps(asked).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                result = json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)) from error
        finally:
            refresh()
        return tuple(result) if isinstance(result, list) else result

    return ask


# --- sessions of STS ---


class Sessions(dict):
    """Sessions by access key. Those of other Regions are looked up when they are asked for."""

    def __setitem__(self, key, session):
        (SHARED / "sessions").mkdir(exist_ok=True)
        replace(SHARED / "sessions" / key, json.dumps(session).encode())
        super().__setitem__(key, session)

    def __contains__(self, key):
        return self.get(key) is not None

    def __missing__(self, key):
        if not key.isalnum():  # it comes out of a request, and names a file
            raise KeyError(key)
        try:
            session = json.loads((SHARED / "sessions" / key).read_bytes())
        except (FileNotFoundError, ValueError):
            raise KeyError(key) from None
        super().__setitem__(key, session)
        return session

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default


def replace(path, data):
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    new.write_bytes(data)
    new.replace(path)
