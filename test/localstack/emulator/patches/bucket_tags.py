"""A bucket bears the tags of its template and of its stack."""

from ministack.services import s3
from ministack.services.cloudformation import provisioners


def install(_app):
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")
    operations = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    operations["create"] = tagging(operations["create"], 1)
    operations["update"] = tagging(operations["update"], 2)


def tagging(work, properties):
    """`properties` is where the new ones are among the arguments."""

    def work_and_tag(*args, **named):
        result = work(*args, **named)
        s3._bucket_tags[result[0]] = {tag["Key"]: tag["Value"] for tag in args[properties].get("Tags") or []}
        return result

    return work_and_tag
