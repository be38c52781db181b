//! Which function calls which AWS API: the actions that its role has to allow, and no others.
//!
//! The checks of `infra/aws/template.yaml` compare the roles with this table. `tests/templates` compares the table with
//! the code: an SDK operation that is called and does not stand here fails a test, and so does the reverse.

use crate::function::Function;

/// An AWS API that functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The action that IAM asks a permission for, such as `sqs:SendMessage`.
    ///
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
    pub action: &'static str,
    /// The functions that call it.
    pub functions: &'static [Function],
}

/// Every AWS API that the functions call themselves. What AWS does in a function's name is not here: writing logs,
/// receiving the messages of an event source, moving failed invocations to a dead-letter queue.
pub const CALLS: [Call; 8] = [
    Call { action: "ssm:GetParameters", functions: &Function::ALL },
    Call { action: "sqs:SendMessage", functions: &[Function::Intake] },
    Call { action: "sqs:GetQueueAttributes", functions: &[Function::Validation] },
    Call { action: "ses:SendEmail", functions: &[Function::Notifier, Function::Validation] },
    Call { action: "ses:GetAccount", functions: &[Function::Validation] },
    Call { action: "ses:GetEmailIdentity", functions: &[Function::Validation] },
    Call { action: "ses:GetConfigurationSet", functions: &[Function::Validation] },
    Call { action: "ses:GetSuppressedDestination", functions: &[Function::Notifier, Function::Validation] },
];
