"""Mistakes in the SAM CLI's configuration: what is wrong, the text to replace, which must be there once, and its
replacement."""

MISTAKES = [
    ("no TOML", 'capabilities = "CAPABILITY_IAM"', "capabilities = CAPABILITY_IAM"),
    ("another form of the file", "version = 0.1", "version = 0.2"),
    ("an option is misspelt", "resolve_s3 = true", "resolves_s3 = true"),
    ("a truth value in quotes", "fail_on_empty_changeset = false", 'fail_on_empty_changeset = "false"'),
    ("a command that does not exist", "[default.delete.parameters]", "[default.remove.parameters]"),
    ("a table that the SAM CLI does not read", "[default.validate.parameters]", "[default.validate]"),
    ("the stack has another name than in the guides", 'stack_name = "leads"', 'stack_name = "lead"'),
    ("a name that CloudFormation refuses", 'stack_name = "leads"', 'stack_name = "marketplace_leads"'),
    ("the template may make no roles", 'capabilities = "CAPABILITY_IAM"\n', ""),
    ("changes are deployed unseen", "confirm_changeset = true", "confirm_changeset = false"),
    ("builds are cached", "cached = false", "cached = true"),
    ("the packages have no bucket", "resolve_s3 = true", "resolve_s3 = false"),
    ("delete looks for the packages elsewhere", 's3_prefix = "leads"\ntags', 's3_prefix = "marketplace-leads"\ntags'),
    ("the stack has another tag", "application=marketplace-leads", "application=leads"),
    ("somebody's own region", "resolve_s3 = true", 'resolve_s3 = true\nregion = "eu-west-1"'),
    (
        "a value for a parameter that does not exist",
        "resolve_s3 = true",
        'resolve_s3 = true\nparameter_overrides = "Interval=60"',
    ),
    (
        "a value that its parameter refuses",
        "resolve_s3 = true",
        'resolve_s3 = true\nparameter_overrides = "IntervalMinutes=45"',
    ),
    ("a stack that failed stays as it is", "resolve_s3 = true", "resolve_s3 = true\ndisable_rollback = true"),
    ("two buckets for the packages", "resolve_s3 = true", 'resolve_s3 = true\ns3_bucket = "packages"'),
    ("a region that does not exist", "resolve_s3 = true", 'resolve_s3 = true\nregion = "eu-west-9"'),
    (
        "deploys and deletes in two regions",
        'tags = "application=marketplace-leads"\n\n[default.delete.parameters]\n',
        'tags = "application=marketplace-leads"\nregion = "eu-west-1"\n\n[default.delete.parameters]\nregion = "eu-west-2"\n',
    ),
    ("a tag without a value", '"application=marketplace-leads"', '"application=marketplace-leads cost"'),
]
