"""Mistakes in the facts: the templates and guides are as they were, and the code says something else."""


def _sends_nothing(facts):
    facts["actions"]["lead-notifier"].remove("ses:SendEmail")


def _intake_receives(facts):
    facts["actions"]["lead-intake"].append("sqs:ReceiveMessage")


def _intake_queues_nothing(facts):
    facts["actions"]["lead-intake"].remove("sqs:SendMessage")


def _publishes(facts):
    facts["actions"]["lead-validation"].append("sns:Publish")


def _has_another_function(facts):
    facts["functions"].append("lead-archive")
    facts["actions"]["lead-archive"] = []


def _reads_another_variable(facts):
    facts["variables"]["LEADS_SIGNATURE"] = {"functions": ["lead-notifier"], "required": False, "default": "none"}


def _reads_a_variable_elsewhere(facts):
    facts["variables"]["LEADS_DIGEST_SIZE"]["functions"].append("lead-validation")


def _reads_a_variable_no_more(facts):
    del facts["variables"]["LEADS_SILENCE_DAYS"]


def _has_another_default(facts):
    facts["variables"]["LEADS_RETENTION_DAYS"]["default"] = "120"


def _calls_the_table_otherwise(facts):
    facts["variables"]["LEADS_STATE_TABLE"]["default"] = "LeadsState"


def _renames_a_metric(facts):
    facts["metrics"][facts["metrics"].index("LeadsLost")] = "LeadsDropped"


def _emits_another_metric(facts):
    facts["metrics"].append("LeadsErased")


def _has_another_namespace(facts):
    facts["metric_namespace"] = "Leads"


def _has_another_command(facts):
    facts["commands"]["forget"] = []


def _renames_a_field(facts):
    facts["commands"]["erase"] = ["person", "confirm?"]


def _wants_a_field(facts):
    facts["commands"]["history"] = ["last?", "until"]


# What is wrong, and how the facts differ.
MISTAKES = [
    ("intake calls an action that its role does not allow", _intake_receives),
    ("intake no longer calls an action that its role allows", _intake_queues_nothing),
    ("the notifier no longer calls an action that its role allows", _sends_nothing),
    ("a service that no role may use is called", _publishes),
    ("a function that the template does not deploy", _has_another_function),
    ("a variable that the template does not set", _reads_another_variable),
    ("a variable that the template sets for another function only", _reads_a_variable_elsewhere),
    ("a variable that the code no longer reads", _reads_a_variable_no_more),
    ("another default than the template's", _has_another_default),
    ("another default than the name of a table", _calls_the_table_otherwise),
    ("a metric has another name", _renames_a_metric),
    ("a metric that the dashboard does not show", _emits_another_metric),
    ("the metrics are in another namespace", _has_another_namespace),
    ("a command that the operations guide does not know", _has_another_command),
    ("a field of a command has another name", _renames_a_field),
    ("a command needs a field that no example has", _wants_a_field),
]
