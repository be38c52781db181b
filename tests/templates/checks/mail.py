"""What SES records of the mails that are sent."""

# The events that SES can record.
#
# <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_EventDestination.html>
SES_EVENTS = {
    "send",
    "reject",
    "bounce",
    "complaint",
    "delivery",
    "open",
    "click",
    "renderingFailure",
    "deliveryDelay",
    "subscription",
}


def mail(view):
    """SES counts what becomes of every mail."""
    for name, properties in view.of("AWS::SES::ConfigurationSet").items():
        if properties.get("SendingOptions", {}).get("SendingEnabled", True) is not True:
            yield f"{name}: sends nothing"
        if set(properties.get("SuppressionOptions", {}).get("SuppressedReasons", [])) != {"BOUNCE", "COMPLAINT"}:
            yield f"{name}: would send again to addresses that bounced or complained"
    for name, properties in view.of("AWS::SES::ConfigurationSetEventDestination").items():
        destination = properties["EventDestination"]
        events = set(destination.get("MatchingEventTypes", []))
        for event in sorted(events - SES_EVENTS):
            yield f"{name}: SES has no event {event}"
        if not {"bounce", "complaint", "send", "delivery", "reject"} <= events:
            yield f"{name}: bounces or complaints would not be seen"
        if destination.get("Enabled") is not True:
            yield f"{name}: not enabled"
        for dimension in destination.get("CloudWatchDestination", {}).get("DimensionConfigurations", []):
            # SES tags each message with its configuration set by itself; no header or link does.
            if dimension["DimensionValueSource"] != "messageTag":
                yield f"{name}: {dimension['DimensionValueSource']} does not name the configuration set"
            if dimension["DimensionName"] != "ses:configuration-set":
                yield f"{name}: SES sets no tag {dimension['DimensionName']} by itself"
        if properties["ConfigurationSetName"] not in view.of("AWS::SES::ConfigurationSet"):
            yield f"{name}: belongs to no configuration set"
    if len(view.of("AWS::SES::ConfigurationSetEventDestination")) != 1:
        yield "there is no event destination"
