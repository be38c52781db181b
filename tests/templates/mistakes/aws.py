"""Mistakes in the AWS template: what is wrong, the text to replace, which must be there once, and its replacement."""

MISTAKES = [
    # Properties, types and values
    (
        "a property name is misspelt",
        "      MemorySize: 512\n      Timeout: 300",
        "      MemorySise: 512\n      Timeout: 300",
    ),
    ("a property name is misspelt in a queue", "      VisibilityTimeout: 121", "      VisibilityTimeOut: 121"),
    (
        "a resource type does not exist",
        "Type: AWS::SES::ConfigurationSetEventDestination",
        "Type: AWS::SES::EventDestination",
    ),
    ("a required property is missing", "      Protocol: email\n", ""),
    ("an unknown runtime", "    Runtime: provided.al2023", "    Runtime: provided.al2025"),
    ("a runtime that AWS retires", "    Runtime: provided.al2023", "    Runtime: provided.al2"),
    (
        "memory above Lambda's limit",
        "      MemorySize: 512\n      Timeout: 300",
        "      MemorySize: 51200\n      Timeout: 300",
    ),
    ("a time-out above Lambda's limit", "      Timeout: 900", "      Timeout: 9000"),
    (
        "a number of days that log groups do not know",
        "AllowedValues: [1, 3, 5, 7, 14, 30,",
        "AllowedValues: [1, 3, 5, 7, 15, 30,",
    ),
    ("an unknown function URL mode", "        InvokeMode: RESPONSE_STREAM", "        InvokeMode: STREAM"),
    (
        "an unknown comparison in an alarm",
        "      ComparisonOperator: LessThanThreshold",
        "      ComparisonOperator: LessThan",
    ),
    (
        "an unknown statistic in an alarm",
        "      Statistic: Maximum\n      Period: 300\n      EvaluationPeriods: 1\n      ComparisonOperator: GreaterThanThreshold\n      Threshold: 900",
        "      Statistic: Max\n      Period: 300\n      EvaluationPeriods: 1\n      ComparisonOperator: GreaterThanThreshold\n      Threshold: 900",
    ),
    ("an unknown subscription protocol", "      Protocol: email", "      Protocol: e-mail"),
    ("the handler is not the executable", "    Handler: bootstrap", "    Handler: main"),
    (
        "the wrong package is deployed as a function",
        "CodeUri: ../../functions/lead-export",
        "CodeUri: ../../functions/lead-intake",
    ),
    (
        "sam build is not told how",
        "  LeadExport:\n    Type: AWS::Serverless::Function\n    Condition: HasExport\n    Metadata: {BuildMethod: rust-cargolambda}",
        "  LeadExport:\n    Type: AWS::Serverless::Function",
    ),
    # References
    ("a reference to a parameter that does not exist", "LEADS_TABLE: !Ref Table", "LEADS_TABLE: !Ref Tabel"),
    ("an attribute that does not exist", "!GetAtt NotifierScheduleRole.Arn", "!GetAtt NotifierScheduleRole.ARN"),
    ("a condition that does not exist", "    Condition: HasAlarmEmail", "    Condition: HasAlarmMail"),
    (
        "a mapping key that does not exist",
        "!FindInMap [Intervals, !Ref IntervalMinutes, Rate]",
        "!FindInMap [Intervals, !Ref IntervalMinutes, Expression]",
    ),
    (
        "a value in braces that is not substituted",
        "FunctionName: !Sub '${AWS::StackName}-lead-export'",
        "FunctionName: '${AWS::StackName}-lead-export'",
    ),
    (
        "a parameter that nothing uses",
        "\nMappings:",
        "\n  Unused:\n    Type: String\n    Default: a\n    AllowedValues: [a]\n    Description: Nothing.\n\nMappings:",
    ),
    ("a default that its own pattern refuses", "    Default: MarketplaceLeads\n", "    Default: marketplace-leads\n"),
    (
        "a circle of references",
        "          LEADS_QUEUE_URL: !Ref LeadQueue\n          LEADS_INTAKE_BUDGET_MS",
        "          LEADS_QUEUE_URL: !Ref LeadIntakeErrors\n          LEADS_INTAKE_BUDGET_MS",
    ),
    # Policies
    (
        "an action that does not exist",
        "raw ones.\n                Action: [ses:SendEmail, ",
        "raw ones.\n                Action: [ses:SendMail, ",
    ),
    ("a service that does not exist", "Action: lambda:InvokeFunction", "Action: lamda:InvokeFunction"),
    (
        "a resource of the wrong type for the action",
        "                Action: sqs:SendMessage\n                Resource: !GetAtt LeadQueue.Arn",
        "                Action: sqs:SendMessage\n                Resource: !GetAtt LeadIntakeLogs.Arn",
    ),
    (
        "a condition key that the service does not have",
        "                Action: lambda:InvokeFunction\n",
        "                Action: lambda:InvokeFunction\n                Condition: {StringEquals: {'lambda:SourceAccount': !Ref AWS::AccountId}}\n",
    ),
    (
        "a wildcard resource",
        "                Action: sqs:SendMessage\n                Resource: !GetAtt LeadQueue.Arn",
        "                Action: sqs:SendMessage\n                Resource: '*'",
    ),
    (
        "a wildcard at the end of a resource",
        "                Action: lambda:InvokeFunction\n                Resource: !GetAtt LeadNotifier.Arn",
        "                Action: lambda:InvokeFunction\n                Resource: !Sub '${LeadNotifier.Arn}*'",
    ),
    ("a wildcard action", "Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]", "Action: sqs:*"),
    (
        "an action that is not called",
        "Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]",
        "Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes, sqs:PurgeQueue]",
    ),
    (
        "an action that is called is missing",
        "Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes]",
        "Action: [sqs:ReceiveMessage, sqs:GetQueueAttributes]",
    ),
    (
        "the notifier may write to intake's queue",
        "              - Sid: KeepFailedRuns\n                Effect: Allow\n                Action: sqs:SendMessage\n                Resource: !GetAtt NotifierDeadLetterQueue.Arn\n      Tags: [{Key: application, Value: marketplace-leads}]\n\n  NotifierSchedule:",
        "              - Sid: KeepFailedRuns\n                Effect: Allow\n                Action: sqs:SendMessage\n                Resource: !GetAtt LeadQueue.Arn\n      Tags: [{Key: application, Value: marketplace-leads}]\n\n  NotifierSchedule:",
    ),
    (
        "a misspelt effect",
        "              - Sid: RunNotifier\n                Effect: Allow",
        "              - Sid: RunNotifier\n                Effect: Alow",
    ),
    (
        "a policy version of the wrong year",
        "        - PolicyName: lead-export\n          PolicyDocument:\n            Version: '2012-10-17'",
        "        - PolicyName: lead-export\n          PolicyDocument:\n            Version: '2012-10-18'",
    ),
    (
        "the wrong service may take a role",
        "Principal: {Service: scheduler.amazonaws.com}",
        "Principal: {Service: events.amazonaws.com}",
    ),
    ("anybody may take a role", "Principal: {Service: scheduler.amazonaws.com}", "Principal: {AWS: '*'}"),
    ("two functions share a role", "Role: !GetAtt LeadExportRole.Arn", "Role: !GetAtt LeadIntakeRole.Arn"),
    ("a function falls back on a managed policy", "      Role: !GetAtt LeadExportRole.Arn\n", ""),
    # Schedule
    ("a rate in the singular for several", "Rate: rate(15 minutes)", "Rate: rate(15 minute)"),
    ("a unit that rates do not have", "Rate: rate(1 hour)", "Rate: rate(1 week)"),
    (
        "an interval that is not what it says",
        "'15': {Seconds: 900, Rate: rate(15 minutes)}",
        "'15': {Seconds: 900, Rate: rate(50 minutes)}",
    ),
    (
        "a pattern that lets a cadence of no minutes through",
        "every ([1-9][0-9]{0,2}|",
        "every ([0-9]{1,3}|",
    ),
    ("the schedule sends another command", """Input: '{"command":"run"}'""", """Input: '{"command":"runs"}'"""),
    (
        "the schedule has no dead-letter queue",
        "        DeadLetterConfig: {Arn: !GetAtt NotifierDeadLetterQueue.Arn}\n",
        "",
    ),
    (
        "the notifier may run twice at a time",
        "!If [ReservesConcurrency, 1, !Ref AWS::NoValue]",
        "!If [ReservesConcurrency, 2, !Ref AWS::NoValue]",
    ),
    # Queues and logs
    (
        "a queue is not encrypted",
        "      VisibilityTimeout: 121\n      SqsManagedSseEnabled: true",
        "      VisibilityTimeout: 121\n      SqsManagedSseEnabled: false",
    ),
    (
        "the queue has no dead-letter queue",
        "      RedrivePolicy:\n        deadLetterTargetArn: !GetAtt LeadDeadLetterQueue.Arn\n        # A try every two minutes: an outage of the table may last 33 hours before anybody has to act.\n        maxReceiveCount: 1000\n",
        "",
    ),
    ("a property of the redrive policy in capitals", "        maxReceiveCount: 1000", "        MaxReceiveCount: 1000"),
    ("messages become visible while they are worked on", "      VisibilityTimeout: 121", "      VisibilityTimeout: 20"),
    ("one bad message holds up its batch", "            FunctionResponseTypes: [ReportBatchItemFailures]\n", ""),
    (
        "deleting the stack loses the queue",
        "  LeadQueue:\n    Type: AWS::SQS::Queue\n    DeletionPolicy: RetainExceptOnCreate\n",
        "  LeadQueue:\n    Type: AWS::SQS::Queue\n",
    ),
    (
        "logs are kept for ever",
        "      LogGroupName: !Sub '/aws/lambda/${AWS::StackName}-lead-export'\n      RetentionInDays: !Ref LogRetentionDays\n",
        "      LogGroupName: !Sub '/aws/lambda/${AWS::StackName}-lead-export'\n",
    ),
    ("a function writes to a log group that nobody made", "      LoggingConfig: {LogGroup: !Ref LeadExportLogs}\n", ""),
    # Settings, mail, URLs
    (
        "a misspelt environment variable",
        "LEADS_SILENCE_DAYS: !Ref SilenceDays\n          LEADS_CONTACT",
        "LEADS_SILENT_DAYS: !Ref SilenceDays\n          LEADS_CONTACT",
    ),
    ("a missing environment variable", "          LEADS_INTAKE_BUDGET_MS: !Ref IntakeBudgetMs\n", ""),
    (
        "a secret in an environment variable",
        "        LEADS_TABLE: !Ref Table",
        "        LEADS_STORAGE_CONNECTION_STRING: DefaultEndpointsProtocol=https\n        LEADS_TABLE: !Ref Table",
    ),
    (
        "destinations on the machine itself, which is for tests",
        "          LEADS_DIGEST_SIZE: !Ref DigestSize",
        "          LEADS_DESTINATIONS_LOOPBACK: allow\n          LEADS_DIGEST_SIZE: !Ref DigestSize",
    ),
    ("another default than the code's", "    Default: 180\n", "    Default: 90\n    # contact window\n"),
    (
        "an SES event that does not exist",
        "[send, delivery, bounce, complaint, reject]",
        "[send, delivery, bounced, complaint, reject]",
    ),
    ("bounces are not recorded", "[send, delivery, bounce, complaint, reject]", "[send, delivery, complaint, reject]"),
    ("the export is open to everybody", "        AuthType: AWS_IAM", "        AuthType: NONE"),
    ("intake is closed to Microsoft", "        AuthType: NONE", "        AuthType: AWS_IAM"),
    # Alarms and dashboard
    (
        "an alarm without evaluation periods",
        "            Stat: Sum\n      EvaluationPeriods: 2\n",
        "            Stat: Sum\n",
    ),
    (
        "an alarm that silence does not raise",
        "      TreatMissingData: breaching",
        "      TreatMissingData: notBreaching",
    ),
    (
        "an alarm that tells nobody",
        "      TreatMissingData: breaching\n      ActionsEnabled: !If [RunsOnSchedule, true, false]\n      AlarmActions: [!Ref AlarmTopic]\n",
        "      TreatMissingData: breaching\n      ActionsEnabled: !If [RunsOnSchedule, true, false]\n",
    ),
    ("an alarm on a metric that nobody emits", "      MetricName: LeadsLost", "      MetricName: LeadsLoss"),
    (
        "an alarm on the wrong function",
        "MetricName: NotifierRuns\n              Dimensions: [{Name: Function, Value: !Ref LeadNotifier}]",
        "MetricName: NotifierRuns\n              Dimensions: [{Name: Function, Value: !Ref LeadExport}]",
    ),
    (
        "an alarm that adds up the functions of all stacks",
        "      MetricName: LeadsLost\n      Dimensions: [{Name: Function, Value: !Ref LeadIntake}]",
        "      MetricName: LeadsLost\n      Dimensions: [{Name: Function, Value: lead-intake}]",
    ),
    (
        "what waits in the queue is counted without what is being tried",
        "          Expression: visible + inflight",
        "          Expression: visible",
    ),
    (
        "an alarm on the age that SQS gives, which leaves out what waits for long",
        "              MetricName: ApproximateNumberOfMessagesNotVisible\n",
        "              MetricName: ApproximateAgeOfOldestMessage\n",
    ),
    (
        "an alarm that more periods must raise than it looks at",
        "      DatapointsToAlarm: 3",
        "      DatapointsToAlarm: 13",
    ),
    ("an age of what waits that never ends", "Nothing is measured once nothing waits any more.\n      TreatMissingData: notBreaching", "Nothing is measured once nothing waits any more.\n      TreatMissingData: ignore"),
    ("wrong URLs of offers are not watched", "      MetricName: IntakeMisdirected", "      MetricName: IntakeUnauthorized"),
    (
        "redelivery cannot read the intake keys",
        "                  - !Sub 'arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter${IntakeKeysParameter}'\n              - Sid: TakeQueuedLeads",
        "              - Sid: TakeQueuedLeads",
    ),
    (
        "a function without an alarm",
        "      AlarmDescription: lead-export failed.\n      Namespace: AWS/Lambda\n      MetricName: Errors",
        "      AlarmDescription: lead-export failed.\n      Namespace: AWS/Lambda\n      MetricName: Duration",
    ),
    (
        "an alarm that the operations guide does not know",
        "AlarmName: !Sub '${AWS::StackName}-lead-queue-age'",
        "AlarmName: !Sub '${AWS::StackName}-queue-age'",
    ),
    (
        "an age that is forgotten between two runs",
        "      Threshold: 21600\n      # Each run measures it once. Between two runs it stays as the last one found it.\n      TreatMissingData: ignore",
        "      Threshold: 21600\n      TreatMissingData: notBreaching",
    ),
    (
        "ages that are added up",
        "      Statistic: Maximum\n      Period: 300\n      EvaluationPeriods: 1\n      ComparisonOperator: GreaterThanThreshold\n      Threshold: 21600",
        "      Statistic: Sum\n      Period: 300\n      EvaluationPeriods: 1\n      ComparisonOperator: GreaterThanThreshold\n      Threshold: 21600",
    ),
    (
        "an alarm on leads mailed in place of leads given up",
        "      MetricName: LeadsParked",
        "      MetricName: LeadsMailed",
    ),
    (
        "rows left out by another function",
        "      MetricName: RowsLeftOut\n      Dimensions: [{Name: Function, Value: !Ref LeadNotifier}]",
        "      MetricName: RowsLeftOut\n      Dimensions: [{Name: Function, Value: !Ref LeadValidation}]",
    ),
    ("a patrol that nobody watches", "      MetricName: PatrolLag", "      MetricName: NotifierRuns"),
    (
        "a metric on the dashboard that nobody emits",
        '["MarketplaceLeads", "DigestsSent", ',
        '["MarketplaceLeads", "DigestSent", ',
    ),
    ("a dashboard that is no JSON", '{"label": "digests"}],', '{"label": "digests"}]'),
    (
        "a mail sender that is no address",
        "  MailFrom:\n    Type: String\n",
        "    AllowedPattern: ",
        "    AllowedPattern: ^.*$|",
    ),
    # Housekeeping
    ("a parameter in no group", "[Table, StateTable, StorageEndpoint, HttpsIntake, IntakeBudgetMs, HttpsExport]", "[Table, StateTable, StorageEndpoint, HttpsIntake, HttpsExport]"),
    (
        "a parameter that takes a secret in place of its name",
        "  IntakeKeysParameter:\n    Type: String\n    Default: /marketplace-leads/intake-keys\n    AllowedPattern: ^(/[A-Za-z0-9_.-]+)+$",
        "  IntakeKeysParameter:\n    Type: String\n    Default: /marketplace-leads/intake-keys\n    AllowedPattern: ^.+$",
    ),
    (
        "a resource without tags",
        "      DisplayName: Marketplace Leads\n      Tags: [{Key: application, Value: marketplace-leads}]",
        "      DisplayName: Marketplace Leads",
    ),
    ("an output of the wrong resource", "    Value: !Ref LeadDeadLetterQueue", "    Value: !Ref LeadQueue"),
    ("a tab in place of spaces", "  AlarmTopic:\n    Type:", "  AlarmTopic:\n\tType:"),
    ("a resource defined twice", "  AlarmSubscription:\n", "  AlarmTopic:\n"),
]
