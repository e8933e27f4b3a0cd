"""
The event source of a DynamoDB stream, as the Lambda Developer Guide describes it: a reader per mapping, partial batch
responses, bisection, retries, age limit, failure destination, and with a tumbling window the shard's id in the event.
It reads with the function's role. No final invocation closes a window, and its state is lost with the process.
"""

import json
import logging
import threading
import time

from ministack.core import iam_evaluator, lambda_runtime
from ministack.core.arn import parse_arn
from ministack.core.responses import _request_account_id, _request_region
from ministack.services import cloudwatch, dynamodb, lambda_svc
from ministack.services.cloudformation import provisioners

from . import global_services

logger = logging.getLogger("event_sources")

SHARD = "shardId-00000000000000000000-00000000"
POLL_SECONDS = 0.25
RETRY_SECONDS = (0.25, 0.5, 1, 2)
READING = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")

_readers = {}


def install(_app):
    lambda_svc._poll_dynamodb_streams = start_readers
    operations = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    operations["create"] = keeping_window(operations["create"], 1)
    operations["update"] = keeping_window(operations["update"], 2)


def keeping_window(work, properties):
    """CloudFormation's mappings lose their tumbling window. `properties` is where the new ones are among arguments."""

    def work_and_keep(*args, **named):
        result = work(*args, **named)
        window = args[properties].get("TumblingWindowInSeconds")
        lambda_svc._esms[result[0]]["TumblingWindowInSeconds"] = int(window or 0)
        return result

    return work_and_keep


def start_readers():
    """Takes the place of a pass over all mappings: says that there was nothing to do."""
    for account, region, mapping in list(lambda_svc._iter_all_esms()):
        uuid = mapping["UUID"]
        if ":dynamodb:" in mapping.get("EventSourceArn", "") and uuid not in _readers:
            _readers[uuid] = threading.Thread(target=read, args=(account, region, mapping), daemon=True)
            _readers[uuid].start()
    return False


def read(account, region, mapping):
    _request_account_id.set(account)
    _request_region.set(region)
    reader = Reader(mapping)
    while mapping["UUID"] in lambda_svc._esms:
        try:
            busy = mapping.get("Enabled", True) and reader.step()
        except Exception:
            logger.exception("event source %s", mapping["EventSourceArn"])
            busy = False
        if not busy:
            time.sleep(POLL_SECONDS)
    _readers.pop(mapping["UUID"], None)


class Reader:
    def __init__(self, mapping):
        self.mapping = mapping
        self.arn = mapping["EventSourceArn"]
        self.table = parse_arn(self.arn).resource.split("/")[1]
        self.position = None
        self.limit = None  # records of the batch in hand, once it was bisected or came back in part
        self.failures = 0
        self.permitted = False

    def step(self):
        """One batch, or none: true if there may be more at once."""
        record, _ = lambda_svc._get_func_record_for_qualifier(self.mapping["FunctionName"], self.mapping.get("Qualifier"))
        table = dynamodb._tables.get(self.table)
        if record is None or not table or table.get("LatestStreamArn") != self.arn or not self.may_read(record):
            return False
        if self.position is None:
            trim = self.mapping.get("StartingPosition") == "TRIM_HORIZON"
            self.position = (dynamodb.stream_start_position if trim else dynamodb.stream_end_position)(self.table)
        self.position = max(self.position, dynamodb.stream_start_position(self.table))
        size = self.limit or self.mapping.get("BatchSize", 100)
        batch = dynamodb.stream_records_since(self.table, self.position, size)
        if not batch:
            return False
        matching = lambda_svc._apply_filter_criteria(batch, self.mapping)
        if matching and self.too_old(matching):
            return self.give_up(record, batch, matching, None, "MaxRecordAgeExceeded")
        if not matching:
            return self.advance(len(batch))
        result = lambda_svc._execute_function(record, self.event(matching))
        age_ms = (time.time() - float(matching[-1]["dynamodb"]["ApproximateCreationDateTime"])) * 1000
        dimensions = {"FunctionName": self.mapping["FunctionName"]}
        cloudwatch.record_metric("AWS/Lambda", "IteratorAge", max(0, age_ms), "Milliseconds", dimensions)
        failed_at = None if result.get("error") else self.failed_at(batch, result.get("body"))
        if not result.get("error") and failed_at is None:
            self.mapping["LastProcessingResult"] = f"OK - {len(matching)} records"
            return self.advance(len(batch))
        return self.retry(record, batch, matching, failed_at, result)

    def may_read(self, record):
        """The function's role reads the stream; Lambda tries until it may."""
        if self.permitted:
            return True
        global_services.refresh()
        config = record.get("config") or record
        key = lambda_runtime.execution_credentials(config)["AWS_ACCESS_KEY_ID"]
        for action in READING:
            resource = f"{self.arn.split('/stream/')[0]}/stream/*" if action == "ListStreams" else self.arn
            if not allowed(key, f"dynamodb:{action}", resource):
                self.mapping["LastProcessingResult"] = f"PROBLEM: {config['Role']} may not {action}"
                logger.warning("%s: %s", self.mapping["FunctionName"], self.mapping["LastProcessingResult"])
                return False
        self.permitted = True
        return True

    def event(self, records):
        window = self.mapping.get("TumblingWindowInSeconds") or 0
        if window == 0:
            return {"Records": records}
        start = int(records[0]["dynamodb"]["ApproximateCreationDateTime"]) // window * window
        return {
            "Records": records,
            "window": {"start": utc(start), "end": utc(start + window)},
            "state": {},
            "shardId": SHARD,
            "eventSourceARN": self.arn,
            "isFinalInvokeForWindow": False,
            "isWindowTerminatedEarly": False,
        }

    def failed_at(self, batch, body):
        """Where in the batch the function stopped; None if it took all of it."""
        if "ReportBatchItemFailures" not in (self.mapping.get("FunctionResponseTypes") or []):
            return None
        failures = (body or {}).get("batchItemFailures") or [] if isinstance(body, dict) else []
        numbers = [each["dynamodb"]["SequenceNumber"] for each in batch]
        # One that is not in the batch fails all of it.
        places = [numbers.index(i) if i in numbers else 0 for i in (f.get("itemIdentifier") for f in failures)]
        return min(places) if places else None

    def retry(self, record, batch, matching, failed_at, result):
        reason = json.dumps(result.get("body") or {}, default=str)[:400]
        self.mapping["LastProcessingResult"] = "FAILED"
        logger.warning("%s failed on %d records: %s", self.mapping["FunctionName"], len(batch), reason)
        if failed_at:
            self.advance(failed_at)
            batch = batch[failed_at:]
        self.failures += 1
        most = self.mapping.get("MaximumRetryAttempts", -1)
        if most is not None and 0 <= most < self.failures:
            if not (self.mapping.get("BisectBatchOnFunctionError") and len(batch) > 1):
                return self.give_up(record, batch, matching, result, "RetryAttemptsExhausted")
        if self.mapping.get("BisectBatchOnFunctionError") and len(batch) > 1:
            self.limit = (len(batch) + 1) // 2
        time.sleep(RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS)) - 1])
        return True

    def too_old(self, records):
        age = self.mapping.get("MaximumRecordAgeInSeconds") or -1
        oldest = float(records[0]["dynamodb"]["ApproximateCreationDateTime"])
        return age > 0 and time.time() - oldest > age

    def give_up(self, record, batch, matching, result, why):
        lambda_svc._send_ddb_stream_failure_record(self.mapping, record, matching, self.arn, result or {}, why)
        return self.advance(len(batch))

    def advance(self, count):
        self.position += count
        self.limit = None
        self.failures = 0
        return True


def allowed(key, action, resource):
    principal = iam_evaluator.resolve_principal(key, _request_account_id.get())
    context = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=_request_region.get(),
        service_context={},
        principal_keys=principal.keys,
    )
    return iam_evaluator.evaluate(context, principal.policies or [], *principal.limits).decision == "Allow"


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
