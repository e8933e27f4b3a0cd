"""A function creates its log group by its role or not at all: one that ends after its stack leaves none behind."""

from ministack.core import lambda_runtime
from ministack.services import cloudwatch_logs, lambda_svc

from .event_sources import allowed


def install(_app):
    emit = lambda_svc._emit_lambda_logs

    def emit_where_allowed(func, *args, **named):
        config = func.get("config") or func
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        if group in cloudwatch_logs._log_groups or may_create(config, group):
            emit(func, *args, **named)

    lambda_svc._emit_lambda_logs = emit_where_allowed


def may_create(config, group):
    try:
        key = lambda_runtime.execution_credentials(config)["AWS_ACCESS_KEY_ID"]
        return allowed(key, "logs:CreateLogGroup", cloudwatch_logs._make_group_arn(group))
    except Exception:  # the role is gone, too
        return False
