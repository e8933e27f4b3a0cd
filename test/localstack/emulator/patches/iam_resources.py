"""What IAM's evaluation does not find by itself: the resource of some requests, a table's own policy, a session's role."""

import json

from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb


def install(_app):
    extract = iam_actions.extract_resource_arn
    resolve = iam_evaluator._resolve_condition_key

    def extract_resource_arn(service, method, path, headers, body, params, region, account):
        parts = path.strip("/").split("/")
        if service == "route53" and parts[1:2] == ["change"]:
            return f"arn:aws:route53:::change/{parts[-1]}"
        found = extract(service, method, path, headers, body, params, region, account)
        if found == "*" and service in ("dynamodb", "dynamodbstreams"):
            request = parsed(body)
            return request.get("StreamArn") or request.get("ResourceArn") or found
        if found == "*" and service == "monitoring":
            # All of them are one group's: if the first may be looked at, so may the rest.
            name = parsed(body).get("AlarmNames", [None])[0] or iam_actions._param(body, params, "AlarmNames.member.1")
            return f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}" if name else found
        return found

    def resolve_condition_key(key, context):
        value = resolve(key, context)
        return role_of(value) if key.lower() == "aws:principalarn" else value

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_evaluator._resolve_condition_key = resolve_condition_key
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["dynamodb"] = ("dynamodb", "table_policy_for_arn")
    dynamodb.table_policy_for_arn = table_policy


def parsed(body):
    try:
        request = json.loads(body)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def role_of(principal):
    """Policies know the sessions of a role by the role."""
    parts = principal.split(":") if isinstance(principal, str) else []
    if len(parts) != 6 or not parts[5].startswith("assumed-role/"):
        return principal
    return f"arn:aws:iam::{parts[4]}:role/{parts[5].split('/')[1]}"


def table_policy(arn):
    return dynamodb._resource_policies.get(arn, {}).get("Policy", ""), arn.split(":")[4]
