"""Resources that IAM's evaluation does not find in a request by itself."""

from ministack.core import iam_actions


def install(_app):
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(service, method, path, *rest):
        parts = path.strip("/").split("/")
        if service == "route53" and parts[1:2] == ["change"]:
            return f"arn:aws:route53:::change/{parts[-1]}"
        return extract(service, method, path, *rest)

    iam_actions.extract_resource_arn = extract_resource_arn
