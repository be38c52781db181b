"""Mistakes in the policy of who deploys: what is wrong, the text to replace, which must be there once, and its replacement."""

MISTAKES = [
    ("an action that does not exist", '"sqs:TagQueue"', '"sqs:TagResource"'),
    ("a queue cannot be changed", '        "sqs:SetQueueAttributes",\n', ""),
    ("a function cannot be given its part of the concurrency", '        "lambda:PutFunctionConcurrency",\n', ""),
    ("messages may be read", '"sqs:GetQueueUrl",', '"sqs:GetQueueUrl",\n        "sqs:ReceiveMessage",'),
    ("the queues of every stack", ":leads-Lead*Queue-*", ":*"),
    ("the functions of every stack", ":function:leads-lead-*", ":function:*"),
    ("the roles of every stack", ":role/leads-Lead*Role-*\",\n        \"arn:aws:iam::123456789012:role/leads-NotifierScheduleRole-*\"\n      ],\n      \"Condition\"", ":role/*\",\n        \"arn:aws:iam::123456789012:role/leads-NotifierScheduleRole-*\"\n      ],\n      \"Condition\""),
    ("roles may be given to any service", '"scheduler.amazonaws.com"', '"scheduler.amazonaws.com",\n            "ec2.amazonaws.com"'),
    ("the schedule of another stack", "schedule/default/leads-lead-notifier", "schedule/default/*"),
    ("alarms of the mail cannot be made", ":alarm:leads-mail-*", ":alarm:leads-mails-*"),
    ("the code goes into another bucket", '"arn:aws:s3:::leads-code-123456789012-eu-west-1/*"', '"arn:aws:s3:::leads-123456789012-eu-west-1/*"'),
    ("any event source of any function", '"ArnEquals": {\n          "lambda:FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:leads-lead-redelivery"\n        }\n      }\n    },\n    {\n      "Sid": "EventSource",', '"ArnLike": {\n          "lambda:FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:*"\n        }\n      }\n    },\n    {\n      "Sid": "EventSource",'),
    ("who deploys may change his own role", '"iam:UpdateRoleDescription"\n      ],\n      "Resource": [\n        "arn:aws:iam::123456789012:role/leads-Lead*Role-*"', '"iam:UpdateRoleDescription"\n      ],\n      "Resource": [\n        "arn:aws:iam::123456789012:role/leads-*"'),
    ("stacks whose names begin alike", "stack/leads/*", "stack/leads*/*"),
    ("a policy version of the wrong year", '"2012-10-17"', '"2012-10-18"'),
]
