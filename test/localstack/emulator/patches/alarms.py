"""
Alarms by the clock, as the CloudWatch User Guide describes them: dimensions, M out of N periods, missing data. Metrics
in the embedded metric format are taken from a function's output as it is written, not when the invocation ends.
"""

import json
import logging
import operator
import threading
import time

from ministack.core import lambda_runtime
from ministack.core.responses import _request_account_id, _request_region
from ministack.services import cloudwatch

logger = logging.getLogger("alarms")

CLOCK_SECONDS = 1
# What a period's last figures may take to arrive.
LATE_SECONDS = 2
BREACHES = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def install(_app):
    cloudwatch._evaluate_all_alarms = lambda: None
    lambda_runtime.Worker._read_stderr = read_output
    threading.Thread(target=tick, daemon=True).start()


# --- embedded metrics ---


def read_output(worker):
    account, region = lambda_runtime._account_region_from_function_config(worker.config)
    _request_account_id.set(account)
    _request_region.set(region)
    try:
        for line in worker._proc.stderr:
            text = line.rstrip("\n")
            worker._stderr_queue.put(text)
            if '"_aws"' in text:
                take_metrics(text)
    except (OSError, ValueError):
        pass  # the process is gone


def take_metrics(text):
    try:
        document = json.loads(text)
        metadata = document["_aws"]
        for directive in metadata["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    values = document[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        cloudwatch._store_datum(
                            directive["Namespace"], metric["Name"], dimensions, metadata["Timestamp"] / 1000,
                            metric.get("Unit", "None"), value, None, None, None,
                        )
    except (KeyError, TypeError, ValueError):
        logger.warning("not in the embedded metric format: %s", text[:200])


# --- evaluation ---


def tick():
    while True:
        time.sleep(CLOCK_SECONDS)
        for (account, region, _), alarm in list(cloudwatch._alarms._data.items()):
            _request_account_id.set(account)
            _request_region.set(region)
            try:
                evaluate(alarm, time.time() - LATE_SECONDS)
            except Exception:
                logger.exception("alarm %s", alarm["AlarmName"])


def evaluate(alarm, now):
    period = int(alarm.get("Period") or 60)
    periods = int(alarm.get("EvaluationPeriods") or 1)
    enough = int(alarm.get("DatapointsToAlarm") or periods)
    end = int(now) // period * period
    values = [value_of(alarm, start, period) for start in range(end - periods * period, end, period)]
    missing = alarm.get("TreatMissingData") or "missing"
    if all(value is None for value in values):
        if missing == "ignore":
            return
        state = {"breaching": "ALARM", "notBreaching": "OK"}.get(missing, "INSUFFICIENT_DATA")
        return change(alarm, state, f"no data in {periods} periods of {period} s")
    breaches = BREACHES[alarm["ComparisonOperator"]]
    judged = [missing == "breaching" if value is None else breaches(value, alarm["Threshold"]) for value in values]
    change(alarm, "ALARM" if sum(judged) >= enough else "OK", f"{sum(judged)} of {periods} breach: {values}")


def value_of(alarm, start, period):
    """The statistic of one period; None without data."""
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions)) or []
    within = [point for point in list(points) if start <= point["Timestamp"] < start + period]
    if not within:
        return None
    name = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    return cloudwatch._stat_value(cloudwatch._calc_stats(within), name, within)


def change(alarm, state, reason):
    before = alarm["StateValue"]
    if before == state:
        return
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
