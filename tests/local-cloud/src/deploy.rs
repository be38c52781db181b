//! Deploys the template, after it has filled the account as a user would.

use crate::aws::{Aws, AwsError, xml_values};
use crate::failure::{Failure, OrFail, Result};
use crate::functions::Packages;
use crate::workspace::Workspace;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// The stack's name.
pub const STACK: &str = "leads";
/// The sender that the account has verified.
pub const MAIL_FROM: &str = "leads@contoso.example";
/// Who gets the digests.
pub const MAIL_TO: &str = "sales@contoso.example";

const BUCKET: &str = "functions";
pub(crate) const CLOUDFORMATION: &str = "2010-05-15";
const DEPLOY_LIMIT: Duration = Duration::from_secs(120);

/// Creates what exists in an account before the stack does: parameters with the secrets, and a verified sender.
pub(crate) async fn fill_account(aws: &Aws, connection_string: &str, intake_key: &str) -> Result<(), AwsError> {
    put_secrets(aws, connection_string, intake_key).await?;
    verify_sender(aws, MAIL_FROM).await
}

/// Writes the parameters with the secrets, whether they exist or not.
pub(crate) async fn put_secrets(aws: &Aws, connection_string: &str, intake_key: &str) -> Result<(), AwsError> {
    for (name, value) in [("storage-connection-string", connection_string), ("intake-keys", intake_key)] {
        put_secret(aws, name, value).await?;
    }
    Ok(())
}

/// Writes one of the parameters with secrets, by the last part of its name.
pub(crate) async fn put_secret(aws: &Aws, name: &str, value: &str) -> Result<(), AwsError> {
    let name = format!("/marketplace-leads/{name}");
    let parameter = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
    aws.json("ssm", "AmazonSSM.PutParameter", parameter).await.map(drop)
}

/// Creates the identity of a sender; the emulator verifies it at once.
pub(crate) async fn verify_sender(aws: &Aws, address: &str) -> Result<(), AwsError> {
    let identity = json!({ "EmailIdentity": address });
    aws.rest("ses", Method::POST, "/v2/email/identities", Some(identity)).await.map(drop)
}

/// Uploads the functions and creates the stack from the template, with parameters only. Gives the stack's outputs.
pub(crate) async fn deploy(
    aws: &Aws,
    workspace: &Workspace,
    packages: &Packages,
    parameters: &[(String, String)],
) -> Result<BTreeMap<String, String>> {
    const STEP: &str = "deploy infra/aws/template.yaml";
    let template = fs::read_to_string(workspace.root.join("infra/aws/template.yaml")).or_fail(STEP)?;
    let (template, functions) = package(&for_emulator(&template, aws.endpoint()));
    upload(aws, packages, &functions).await?;
    // As `sam deploy` does: a template within the request may have 51,200 bytes, one in S3 a megabyte.
    put(aws, "template.yaml", template.into_bytes()).await.or_fail(STEP)?;
    let address = format!("https://s3.{}.amazonaws.com/{BUCKET}/template.yaml", aws.region());

    let mut values = BTreeMap::from([
        ("MailFrom", MAIL_FROM),
        ("MailTo", MAIL_TO),
        ("Architecture", architecture()),
        // Each run mails what it finds, and runs come when they are asked for.
        ("Cadence", "immediately"),
        ("IntervalMinutes", "60"),
    ]);
    values.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut request = vec![
        ("StackName".to_owned(), STACK),
        ("TemplateURL".to_owned(), address.as_str()),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
        ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND"),
    ];
    for (n, (name, value)) in values.into_iter().enumerate() {
        request.push((format!("Parameters.member.{}.ParameterKey", n + 1), name));
        request.push((format!("Parameters.member.{}.ParameterValue", n + 1), value));
    }
    let request: Vec<(&str, &str)> = request.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    aws.query("cloudformation", "CreateStack", CLOUDFORMATION, &request).await.or_fail(STEP)?;

    let started = Instant::now();
    loop {
        let stack = [("StackName", STACK)];
        let xml = aws.query("cloudformation", "DescribeStacks", CLOUDFORMATION, &stack).await.or_fail(STEP)?;
        match xml_values(&xml, "StackStatus").first().map(String::as_str) {
            Some("CREATE_COMPLETE") => {
                return Ok(xml_values(&xml, "OutputKey").into_iter().zip(xml_values(&xml, "OutputValue")).collect());
            }
            Some("CREATE_IN_PROGRESS") if started.elapsed() < DEPLOY_LIMIT => (),
            status => {
                let events = aws.query("cloudformation", "DescribeStackEvents", CLOUDFORMATION, &stack).await;
                let reasons = xml_values(&events.unwrap_or_default(), "ResourceStatusReason").join("; ");
                return Err(Failure::new(STEP, format!("{}: {reasons}", status.unwrap_or("no status")))
                    .command("CloudFormation CreateStack"));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An alarm's metric in place of the expressions over several metrics that the AWS emulator does not know.
const ONE_METRIC: &str = "      Namespace: AWS/SQS\n      MetricName: ApproximateNumberOfMessagesVisible\n      \
                          Period: 300\n      Statistic: Maximum\n";

/// What the template says of intake's address to validation.
const INTAKE_URL: &str = "!Sub '${LeadIntakeUrl.FunctionUrl}leads'";

/// The template as the AWS emulator at `endpoint` takes it: without expressions over metrics, and with the address on this
/// machine where validation is told how intake is reached.
pub fn for_emulator(template: &str, endpoint: &str) -> String {
    let id = "!Select [0, !Split ['.', !Select [2, !Split ['/', !GetAtt LeadIntakeUrl.FunctionUrl]]]]";
    let local = format!("!Sub ['{endpoint}/_aws/lambda-url/${{Id}}/leads', {{ Id: {id} }}]");
    let is_told = |line: &str| line.trim_start().starts_with("LEADS_INTAKE_URL:");
    let lines = with_one_metric(template);
    let lines = lines.lines().map(|line| match is_told(line) {
        true => line.replace(INTAKE_URL, &local) + "\n",
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// The template with each function's folder replaced by its zip in S3, as `sam package` does, and the functions' names.
fn package(template: &str) -> (String, Vec<String>) {
    let mut functions = Vec::new();
    let lines = template.lines().map(|line| match line.split_once("CodeUri: ../../functions/") {
        Some((indent, name)) => {
            functions.push(name.trim().to_owned());
            format!("{indent}CodeUri: s3://{BUCKET}/{}.zip\n", name.trim())
        }
        None => format!("{line}\n"),
    });
    let packaged = lines.collect();
    (packaged, functions)
}

/// The template with [`ONE_METRIC`] in place of each alarm's list of metrics. No alarm rings here; the checks of the templates
/// hold the alarms to what they must say.
fn with_one_metric(template: &str) -> String {
    let mut is_list = false;
    let lines = template.lines().map(|line| {
        let begins_list = line == "      Metrics:";
        is_list = begins_list || is_list && (line.trim().is_empty() || line.starts_with("        "));
        match (begins_list, is_list) {
            (true, _) => ONE_METRIC.to_owned(),
            (false, true) => String::new(),
            (false, false) => format!("{line}\n"),
        }
    });
    lines.collect()
}

async fn upload(aws: &Aws, packages: &Packages, functions: &[String]) -> Result<()> {
    let step = "upload the functions";
    let region = format!(
        "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
        aws.region()
    );
    let bucket = aws.send("s3", Method::PUT, &format!("/{BUCKET}"), &[], region.into_bytes()).await?;
    if !bucket.status.is_success() {
        return Err(Failure::new(step, bucket.text()).command(format!("PUT /{BUCKET}")));
    }
    let uploads = functions.iter().map(|name| async move {
        let missing = || Failure::new(step, format!("there is no function `{name}` in the workspace"));
        put(aws, &format!("{name}.zip"), packages.get(name).ok_or_else(missing)?.clone()).await
    });
    futures::future::try_join_all(uploads).await.map(drop)
}

/// Writes an object into the bucket.
async fn put(aws: &Aws, name: &str, bytes: Vec<u8>) -> Result<()> {
    let path = format!("/{BUCKET}/{name}");
    let answer = aws.send("s3", Method::PUT, &path, &[], bytes).await?;
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(Failure::new("upload to the emulator", answer.text()).command(path))
    }
}

/// Sets a variable in a function's environment; the other variables stay. The function starts afresh with its next
/// invocation.
pub(crate) async fn set_variable(aws: &Aws, function: &str, name: &str, value: &str) -> Result<(), AwsError> {
    let path = format!("/2015-03-31/functions/{function}/configuration");
    let mut configuration = aws.rest("lambda", Method::GET, &path, None).await?;
    let mut environment = configuration["Environment"].take();
    environment["Variables"][name] = Value::from(value);
    // The answer to a read can have fields that an update does not accept.
    let environment = json!({ "Variables": environment["Variables"] });
    aws.rest("lambda", Method::PUT, &path, Some(json!({ "Environment": environment }))).await.map(drop)
}

/// Lambda's name for the architecture of this machine.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packaging_replaces_the_code_of_every_function_and_nothing_else() {
        let template =
            "  A:\n      CodeUri: ../../functions/lead-intake\n      Handler: bootstrap # ../../functions/\n";
        let (packaged, functions) = package(template);
        let expected =
            "  A:\n      CodeUri: s3://functions/lead-intake.zip\n      Handler: bootstrap # ../../functions/\n";
        assert_eq!(packaged, expected);
        assert_eq!(functions, ["lead-intake"]);
    }

    #[test]
    fn an_alarm_over_several_metrics_gets_one_and_keeps_the_rest() {
        let template =
            "  A:\n      AlarmName: a\n      Metrics:\n        - Id: m\n\n          Label: l\n      Threshold: 0\n";
        assert_eq!(with_one_metric(template), format!("  A:\n      AlarmName: a\n{ONE_METRIC}      Threshold: 0\n"));
    }
}
