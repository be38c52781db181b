"""The queues, and how long messages and logs are kept."""


def queues(view):
    """The queues lose nothing: they are encrypted, keep messages for long, and have dead-letter queues."""
    redrives = {n: q["RedrivePolicy"]["deadLetterTargetArn"] for n, q in view.queues.items() if "RedrivePolicy" in q}
    dead_letters = {arn.rsplit(":", 1)[-1] for arn in redrives.values()}
    for kind in ("AWS::Scheduler::Schedule", "AWS::Lambda::Function"):
        for properties in view.of(kind).values():
            target = properties.get("Target", {}).get("DeadLetterConfig", {}).get("Arn")
            target = target or properties.get("DeadLetterConfig", {}).get("TargetArn")
            dead_letters |= {target.rsplit(":", 1)[-1]} if target else set()
    for name, queue in view.queues.items():
        if queue.get("SqsManagedSseEnabled") is not True and not queue.get("KmsMasterKeyId"):
            yield f"{name}: not encrypted"
        if queue.get("MessageRetentionPeriod") != 14 * 24 * 60 * 60:
            yield f"{name}: does not keep messages for 14 days"
        if name not in redrives and name not in dead_letters:
            yield f"{name}: has no dead-letter queue and is none"
        if queue.get("KmsMasterKeyId"):
            yield f"{name}: no role may use the key that it is encrypted with"
        if queue.get("DelaySeconds", 0) != 0:
            yield f"{name}: what is sent waits {queue['DelaySeconds']} s before its first try"
        # Intake queues bodies of up to 180 KiB, as Base64 in JSON.
        if queue.get("MaximumMessageSize", 262144) < 262144:
            yield f"{name}: does not take the longest body that intake queues"
    for name, target in redrives.items():
        if target.rsplit(":", 1)[-1] not in view.queues or target.endswith(f":{name}"):
            yield f"{name}: its dead-letter queue is {target}"
        if not 1 <= view.queues[name]["RedrivePolicy"].get("maxReceiveCount", 0) <= 1000:
            yield f"{name}: maxReceiveCount must be from 1 to 1000"
        # An outage of the table over a night needs nobody: what waits is tried again all the while.
        tries = view.queues[name]["RedrivePolicy"].get("maxReceiveCount", 0)
        in_all = tries * view.queues[name].get("VisibilityTimeout", 30)
        if in_all < 8 * 60 * 60:
            yield f"{name}: gives up within a night, after {tries} tries"
        if in_all > view.queues[name].get("MessageRetentionPeriod", 0) / 2:
            yield f"{name}: a message may expire before its {tries} tries, and never be in the dead-letter queue"
    for mapping in view.of("AWS::Lambda::EventSourceMapping").values():
        queue = mapping["EventSourceArn"].rsplit(":", 1)[-1]
        function = view.functions[mapping["FunctionName"]]
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{mapping['FunctionName']}: one bad message would hold up its batch"
        if mapping.get("Enabled", True) is not True or mapping.get("FilterCriteria"):
            yield f"{mapping['FunctionName']}: some messages are taken by nobody"
        size, window = mapping.get("BatchSize", 10), mapping.get("MaximumBatchingWindowInSeconds", 0)
        if size != 100:
            yield f"{mapping['FunctionName']}: the table takes 100 leads with one request, and it gets {size}"
        if size > 10 and window < 1:
            yield f"{mapping['FunctionName']}: Lambda gives so many messages at once only where it may wait for them"
        if window > 5:
            yield f"{mapping['FunctionName']}: waits for more messages before it stores a lead"
        if mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 2) < 2:
            yield f"{mapping['FunctionName']}: Lambda takes no concurrency below 2"
        if view.queues[queue].get("VisibilityTimeout", 30) < 6 * function["Timeout"] + window:
            yield f"{queue}: visible again before {mapping['FunctionName']} may be done"
    if len(view.of("AWS::Lambda::EventSourceMapping")) != 1:
        yield "lead-redelivery does not read the queue"


def retention(view):
    """Logs are deleted after some time. Queues outlive the stack, but not a first deployment that is taken back."""
    for name, properties in view.of("AWS::Logs::LogGroup").items():
        if not properties.get("RetentionInDays"):
            yield f"{name}: logs are kept for ever"
        # The other class makes no metrics of what the functions log.
        if properties.get("LogGroupClass", "STANDARD") != "STANDARD":
            yield f"{name}: metrics in these logs would reach nobody"
    for name, function in view.functions.items():
        group = view.all.get(f"{name}Logs", {}).get("Properties", {})
        if group.get("LogGroupName") != f"/aws/lambda/{function['FunctionName']}":
            yield f"{name}: no log group of its name"
        if function.get("LoggingConfig", {}).get("LogGroup") != f"{name}Logs":
            yield f"{name}: does not write to {name}Logs"
    for name in view.queues:
        for policy, expected in (("DeletionPolicy", "RetainExceptOnCreate"), ("UpdateReplacePolicy", "Retain")):
            found = view.template["Resources"][name].get(policy)
            if found not in ("Retain", "RetainExceptOnCreate"):
                yield f"{name}: {policy} would lose what waits in it"
            elif found != expected:
                yield f"{name}: {policy} is {found}, which leaves a queue of every first deployment that is taken back"
