"""Types of CloudFormation that MiniStack has an API for, and no provisioner."""

import uuid

from ministack.services import cloudwatch, route53
from ministack.services.cloudformation import provisioners


def install(_app):
    provisioners._RESOURCE_HANDLERS.update(
        {
            "AWS::CloudWatch::CompositeAlarm": {
                "create": lambda logical_id, props, stack: put_composite(props, f"{stack}-{logical_id}"),
                "update": lambda physical_id, _old, props, _stack: put_composite(props, physical_id),
                "delete": lambda physical_id, _props: cloudwatch._composite_alarms.pop(physical_id, None),
            },
            "AWS::Route53::HealthCheck": {
                "create": lambda _logical_id, props, _stack: put_health_check(str(uuid.uuid4()), props),
                "update": lambda physical_id, _old, props, _stack: put_health_check(physical_id, props),
                "delete": lambda physical_id, _props: route53._health_checks.pop(physical_id, None),
            },
        }
    )


def put_composite(props, default_name):
    name = props.get("AlarmName") or default_name
    status, _, body = cloudwatch._put_composite_alarm({}, {**props, "AlarmName": name}, False, is_json=True)
    if status >= 400:
        raise ValueError(body.decode() if isinstance(body, bytes) else str(body))
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def put_health_check(name, props):
    """Kept, never evaluated."""
    known = route53._health_checks.get(name, {"id": name, "caller_reference": name, "version": 0})
    route53._health_checks[name] = {**known, "config": props["HealthCheckConfig"], "version": known["version"] + 1}
    return name, {"HealthCheckId": name}
