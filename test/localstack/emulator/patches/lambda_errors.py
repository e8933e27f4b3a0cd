"""A function's error keeps its name, as `errorType`, and its process stays warm: a handler that throws is no crash."""

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

MARK = "__ms_plus_error"
SETTLED = 'status: "error", error: String(err.message || err), trace: err.stack || ""'
THROWN = 'status: "error", error: e.message, trace: e.stack'


def install(_app):
    script = lambda_runtime._NODEJS_WORKER_SCRIPT
    assert script.count(SETTLED) == 1 and script.count(THROWN) == 1, "the worker script is another"
    lambda_runtime._NODEJS_WORKER_SCRIPT = script.replace(SETTLED, thrown("err")).replace(THROWN, thrown("e"))
    execute = lambda_svc._execute_function_warm

    def execute_warm(func, event, request_id):
        result = execute(func, event, request_id)
        body = result.get("body")
        if not (isinstance(body, dict) and MARK in body):
            return result
        error = body[MARK]
        log = "\n".join(filter(None, [result.get("log", ""), "\n".join(error["trace"])]))
        return {"body": error, "error": True, "log": log}

    lambda_svc._execute_function_warm = execute_warm


def thrown(name):
    return (
        f'status: "ok", result: {{ {MARK}: {{ errorType: {name}?.name ?? "Error", '
        f'errorMessage: String({name}?.message ?? {name}), trace: String({name}?.stack ?? "").split("\\n") }} }}'
    )
