"""What EventBridge Scheduler puts into a target's input: when it was due. Schedules are looked at every ten seconds."""

from datetime import datetime, timezone

from ministack.services import eventbridge

DUE = "<aws.scheduler.scheduled-time>"


def install(_app):
    invoke = eventbridge._invoke_target

    def invoke_with_time(target, event, *rest):
        if event.get("Source") == "aws.scheduler" and DUE in target.get("Input", ""):
            # Of a cron expression, by the minute.
            minute = datetime.fromtimestamp(event["Time"], tz=timezone.utc).replace(second=0)
            target = {**target, "Input": target["Input"].replace(DUE, minute.strftime("%Y-%m-%dT%H:%M:%SZ"))}
        return invoke(target, event, *rest)

    eventbridge._invoke_target = invoke_with_time
