"""The metrics that alarms and dashboard refer to."""

# The metrics of AWS that the template may use, and the dimension that each has.
AWS_METRICS = {
    "AWS/Lambda": ({"Errors", "Throttles", "Url5xxCount", "Invocations", "Duration"}, "FunctionName"),
    # The age of the oldest message is not among them: SQS leaves out what was received three times or more, which is all
    # that waits for long.
    #
    # <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"}, "QueueName"),
    "AWS/SES": ({"Send", "Delivery", "Bounce", "Complaint", "Reject"}, "ses:configuration-set"),
}


STATISTICS = {"Sum", "Average", "Minimum", "Maximum", "SampleCount"}


def faults(view, where, namespace, metric, dimensions):
    """What is wrong with a reference to a metric, which stands at `where`."""
    if namespace == view.facts["metric_namespace"]:
        if metric not in view.facts["metrics"]:
            yield f"{where}: no function emits {metric}"
        expected = {"Function", "Source"} if metric == "LeadsFound" else {"Function"}
        if set(dimensions) != expected:
            yield f"{where}: {metric} has the dimensions {sorted(expected)}, not {sorted(dimensions)}"
        # A reference to a function stands for its deployed name, which is the dimension that the code emits.
        if dimensions.get("Function") not in view.functions:
            yield f"{where}: {dimensions.get('Function')} refers to no function"
        if dimensions.get("Source", "https") not in ("https", "table"):
            yield f"{where}: there is no source {dimensions['Source']}"
    elif namespace in AWS_METRICS:
        known, dimension = AWS_METRICS[namespace]
        if metric not in known:
            yield f"{where}: {namespace} has no {metric}"
        targets = {
            "FunctionName": set(view.functions),
            "QueueName": {f"{queue}.QueueName" for queue in view.queues},
            "ses:configuration-set": set(view.of("AWS::SES::ConfigurationSet")),
        }[dimension]
        if set(dimensions) != {dimension} or dimensions[dimension] not in targets:
            yield f"{where}: {metric} of {dimensions}"
    else:
        yield f"{where}: unknown namespace {namespace}"
