//! What the AWS emulator ignores in the template: reserved concurrency, and the queue that gets a function's failed
//! asynchronous invocations. Its Lambda API supports both. So they are set there, to the values of the template.

use crate::aws::{Aws, AwsError, xml_values};
use crate::deploy::{CLOUDFORMATION, STACK};
use crate::failure::{Failure, OrFail, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;

const STEP: &str = "set what the AWS emulator ignores in the template";

/// Sets both for all functions of the stack.
pub(crate) async fn set(aws: &Aws) -> Result<()> {
    let stack = Stack::read(aws).await?;
    let resources = stack.template["Resources"].as_object().into_iter().flatten();
    for (logical, resource) in resources.filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Function") {
        let (function, properties) = (stack.physical(logical)?, &resource["Properties"]);
        let reserved = stack.value(&properties["ReservedConcurrentExecutions"])?;
        if let Some(number) = reserved.as_str().and_then(|text| text.parse::<u32>().ok()) {
            let path = format!("/2017-10-31/functions/{function}/concurrency");
            aws.rest("lambda", Method::PUT, &path, Some(json!({ "ReservedConcurrentExecutions": number }))).await?;
        }
        let target = stack.value(&properties["DeadLetterConfig"]["TargetArn"])?;
        if let Some(queue) = target.as_str() {
            let arn = queue_arn(aws, queue).await?;
            let path = format!("/2015-03-31/functions/{function}/configuration");
            let configuration = json!({ "DeadLetterConfig": { "TargetArn": arn } });
            aws.rest("lambda", Method::PUT, &path, Some(configuration)).await?;
        }
    }
    Ok(())
}

async fn queue_arn(aws: &Aws, url: &str) -> Result<Value, AwsError> {
    let request = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
    let mut answer = aws.json("sqs", "AmazonSQS.GetQueueAttributes", request).await?;
    Ok(answer["Attributes"]["QueueArn"].take())
}

/// The deployed stack: its template after the SAM transform, its parameters, and its resources' physical ids.
struct Stack {
    template: Value,
    parameters: HashMap<String, String>,
    resources: HashMap<String, String>,
}

impl Stack {
    async fn read(aws: &Aws) -> Result<Self> {
        let ask = async |action| aws.query("cloudformation", action, CLOUDFORMATION, &[("StackName", STACK)]).await;
        let pairs = |xml: &str, name, value| xml_values(xml, name).into_iter().zip(xml_values(xml, value)).collect();
        // CloudFormation answers with the transformed template unless the request asks for the original.
        let template = ask("GetTemplate").await?;
        let template = xml_values(&template, "TemplateBody").into_iter().next().unwrap_or_default();
        Ok(Self {
            template: serde_json::from_str(&template).or_fail(STEP)?,
            parameters: pairs(&ask("DescribeStacks").await?, "ParameterKey", "ParameterValue"),
            resources: pairs(&ask("DescribeStackResources").await?, "LogicalResourceId", "PhysicalResourceId"),
        })
    }

    fn physical(&self, logical: &str) -> Result<&str> {
        let missing = || Failure::new(STEP, format!("the stack has no resource {logical}"));
        self.resources.get(logical).map(String::as_str).ok_or_else(missing)
    }

    /// A property's value: a text, or null where there is none. For an attribute of a resource, this is the resource's
    /// physical id.
    fn value(&self, property: &Value) -> Result<Value> {
        let not_read = || Failure::new(STEP, format!("the template says {property}"));
        match property {
            Value::Null => Ok(Value::Null),
            Value::String(text) => Ok(text.clone().into()),
            Value::Number(number) => Ok(number.to_string().into()),
            _ => {
                let function = property.as_object().and_then(|object| object.iter().next()).ok_or_else(not_read)?;
                match (function.0.as_str(), function.1) {
                    ("Ref", Value::String(name)) if name == "AWS::NoValue" => Ok(Value::Null),
                    ("Ref", Value::String(name)) => Ok(self.parameters.get(name).ok_or_else(not_read)?.as_str().into()),
                    ("Fn::GetAtt", Value::Array(path)) => {
                        Ok(self.physical(path.first().and_then(Value::as_str).unwrap_or_default())?.into())
                    }
                    ("Fn::If", branches) => {
                        let holds =
                            self.holds(&self.template["Conditions"][branches[0].as_str().unwrap_or_default()])?;
                        self.value(&branches[if holds { 1 } else { 2 }])
                    }
                    _ => Err(not_read()),
                }
            }
        }
    }

    fn holds(&self, condition: &Value) -> Result<bool> {
        match &condition["Fn::Equals"] {
            Value::Array(both) if both.len() == 2 => Ok(self.value(&both[0])? == self.value(&both[1])?),
            _ => Err(Failure::new(STEP, format!("the template says {condition}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(reserve: &str) -> Stack {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        Stack {
            template: json!({ "Conditions": { "Reserves": { "Fn::Equals": [{ "Ref": "Reserve" }, "true"] } } }),
            parameters: pairs(&[("Reserve", reserve), ("Concurrency", "20")]),
            resources: pairs(&[("Queue", "http://127.0.0.1/1/queue")]),
        }
    }

    #[test]
    fn a_property_of_the_template_is_read_with_the_stacks_parameters() {
        let capped = json!({ "Fn::If": ["Reserves", { "Ref": "Concurrency" }, { "Ref": "AWS::NoValue" }] });
        let single = json!({ "Fn::If": ["Reserves", 1, { "Ref": "AWS::NoValue" }] });
        let queue = json!({ "Fn::GetAtt": ["Queue", "Arn"] });
        for (property, reserve, expected) in [
            (&capped, "true", json!("20")),
            (&single, "true", json!("1")),
            (&single, "false", Value::Null),
            (&queue, "true", json!("http://127.0.0.1/1/queue")),
            (&Value::Null, "true", Value::Null),
        ] {
            assert_eq!(stack(reserve).value(property).unwrap(), expected, "{property}");
        }
    }

    #[test]
    fn what_cannot_be_read_fails_instead_of_being_left_out() {
        for property in [json!({ "Fn::Sub": "1" }), json!({ "Ref": "Nothing" }), json!({ "Fn::If": ["No", 1, 2] })] {
            assert!(stack("true").value(&property).is_err(), "{property}");
        }
    }
}
