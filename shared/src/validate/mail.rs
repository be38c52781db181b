//! The check `mail`: whether SES would send the digests, and to everyone.

use super::findings::{Findings, count};
use super::test_lead::test_digest;
use crate::address::{MailAddress, Sender, texts};
use crate::aws::SdkConfig;
use crate::mail::ses::{Account, Identity, SesAccount, SesError, SesMailer};
use crate::mail::{Mailer as _, RenderSettings, render};
use crate::settings::ValidationSettings;
use jiff::Timestamp;

/// SES answers such questions about once a second, and the check has less than a minute.
const MOST_RECIPIENTS: usize = 20;

/// Where a recipient stands in the settings, which shows nobody, and the address.
type Recipient<'a> = (String, &'a str);

pub(super) async fn check(
    aws: &SdkConfig,
    settings: &ValidationSettings,
    send: bool,
    now: Timestamp,
) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let (Some(from), Some(to)) = (&settings.mail.from, &settings.mail.to) else {
        return (Findings::skip("LEADS_MAIL_FROM or LEADS_MAIL_TO is wrong", "see `settings`"), None);
    };
    let ses = SesAccount::new(aws);
    let account = match ses.account().await {
        Ok(account) => account,
        Err(SesError(code)) => {
            let cure = match code.as_str() {
                code if code.contains("AccessDenied") => "allow the function's role ses:GetAccount",
                _ => {
                    "run this again; if it stays, see that SES exists in the function's region, and AWS's health there"
                }
            };
            findings.fail(format!("SES says nothing about the account ({code})"), cure);
            return (findings, None);
        }
    };
    check_account(&mut findings, &account);
    configuration_set(&mut findings, &ses, settings).await;
    sender(&mut findings, &ses, from.address().as_str()).await;
    let recipients = recipients(settings);
    let mut reached = 0;
    for recipient in recipients.iter().take(MOST_RECIPIENTS) {
        reached += usize::from(check_recipient(&mut findings, &ses, &account, recipient).await);
    }
    if recipients.len() > MOST_RECIPIENTS {
        findings.warn(
            format!("only the first {MOST_RECIPIENTS} of {} recipients were looked at", recipients.len()),
            "send to a distribution list in place of many recipients, or see the SES console's suppression list for the others",
        );
    } else if reached == recipients.len() {
        findings.saw(format!("{}, none suppressed", count(recipients.len(), "recipient")));
    }
    if settings.mail.routes.is_none() {
        findings.warn("LEADS_ROUTES is wrong, so the recipients of routes were not looked at", "see `settings`");
    }
    if send {
        let mut destinations = vec![to.as_slice()];
        for route in settings.mail.routes.iter().flatten() {
            if !destinations.contains(&route.to.as_slice()) {
                destinations.push(&route.to);
            }
        }
        send_test(&mut findings, aws, settings, (from, &destinations), now).await;
    }
    (findings, None)
}

fn check_account(findings: &mut Findings, account: &Account) {
    if !account.has_production_access {
        findings.warn(
            "the account is in the SES sandbox: it sends to verified addresses only, 200 mails a day, which may not suffice for \
             mails at once: when they are used up, mails are grouped by the hour for a day",
            "request production access (SES console, Account dashboard); until then verify every recipient",
        );
    }
    if !account.is_sending {
        findings.fail(
            "sending is paused for the account",
            "see the SES console, Reputation metrics: remove the cause, then resume sending",
        );
    }
    match account.enforcement.as_str() {
        "SHUTDOWN" => {
            findings.fail("SES has shut the account's sending down", "answer the case that AWS Support opened")
        }
        "PROBATION" => findings.warn(
            "SES has the account under review: too many bounces or complaints",
            "see the SES console, Reputation metrics, and remove addresses that bounce",
        ),
        "" => findings.warn(
            "SES does not say whether the account is in good standing",
            "see the SES console, Reputation metrics",
        ),
        _ => {}
    }
    if account.daily_quota.is_none() {
        findings.warn("SES does not say how many mails are left today", "see the SES console, Account dashboard");
    }
    if let Some(quota) = account.daily_quota.filter(|quota| *quota >= 0.0) {
        let left = quota - account.sent_last_day;
        let seen = format!("{left:.0} of {quota:.0} mails left today");
        let cure = "request a higher sending quota (AWS console, Service Quotas, Amazon SES)";
        if left < 1.0 {
            findings.fail(seen, cure);
        } else if left < quota / 10.0 {
            let seen = format!("{seen}: when they are used up, mails at once are grouped by the hour for a day");
            findings.warn(seen, cure);
        } else {
            findings.saw(seen);
        }
    }
}

/// Whether SES has the configuration set that every mail names.
async fn configuration_set(findings: &mut Findings, ses: &SesAccount, settings: &ValidationSettings) {
    const CURE: &str = "deploy the template again: it creates the configuration set and names it in \
                        LEADS_MAIL_CONFIGURATION_SET";
    let name = match &settings.mail.configuration_set {
        Some(Some(name)) => name,
        Some(None) => return findings.saw("no configuration set"),
        None => return findings.warn("LEADS_MAIL_CONFIGURATION_SET is wrong", "see `settings`"),
    };
    match ses.configuration_set(name).await {
        Ok(Some(true)) => findings.saw("the configuration set exists"),
        Ok(Some(false)) => findings.fail(
            "the configuration set has sending switched off: SES refuses every mail",
            "switch it on: aws sesv2 put-configuration-set-sending-options --sending-enabled --configuration-set-name <name>",
        ),
        Ok(None) => findings.fail(
            "SES does not know the configuration set in LEADS_MAIL_CONFIGURATION_SET in this region: it refuses every mail",
            CURE,
        ),
        Err(SesError(code)) => findings.warn(
            format!("SES says nothing about the configuration set ({code})"),
            "allow the function's role ses:GetConfigurationSet",
        ),
    }
}

/// What SES knows of an address: by itself, its domain, or a domain above that one. Any that is verified counts, and any
/// that is signed.
async fn identity(ses: &SesAccount, address: &str) -> Result<Option<Identity>, SesError> {
    let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
    let above = std::iter::successors(Some(domain), |domain| domain.split_once('.').map(|(_, above)| above));
    let mut found: Option<Identity> = None;
    for name in std::iter::once(address).chain(above.filter(|domain| domain.contains('.'))) {
        let Some(identity) = ses.identity(name).await? else { continue };
        let is_better =
            found.is_none_or(|found| (found.is_verified, found.is_signed) < (identity.is_verified, identity.is_signed));
        if is_better {
            found = Some(identity);
        }
        if found.is_some_and(|found| found.is_verified && found.is_signed) {
            break;
        }
    }
    Ok(found)
}

async fn sender(findings: &mut Findings, ses: &SesAccount, address: &str) {
    match identity(ses, address).await {
        Ok(Some(Identity { is_verified: true, is_signed })) => {
            findings.saw("the sender is verified");
            if !is_signed {
                findings.warn(
                    "its mails are not signed with DKIM, and land in junk folders the sooner",
                    "verify the sender's whole domain in SES (Easy DKIM), and publish the DNS records that it shows",
                );
            }
        }
        Ok(Some(_)) => findings.fail(
            "the sender in LEADS_MAIL_FROM is not verified yet",
            "follow the link in the mail that SES sent to it, or publish the DNS records that the SES console shows",
        ),
        Ok(None) => findings.fail(
            "SES does not know the sender in LEADS_MAIL_FROM in this region",
            "verify it: aws sesv2 create-email-identity --email-identity <address or domain>, in the function's region",
        ),
        Err(SesError(code)) => findings.warn(
            format!("SES says nothing about the sender ({code})"),
            "allow the function's role ses:GetEmailIdentity",
        ),
    }
}

/// Every recipient once, the default ones first.
fn recipients(settings: &ValidationSettings) -> Vec<Recipient<'_>> {
    let default = settings.mail.to.iter().flatten().enumerate();
    let default = default.map(|(at, address)| (format!("recipient {} of LEADS_MAIL_TO", at + 1), address.as_str()));
    let routes = settings.mail.routes.iter().flatten().enumerate().flat_map(|(route, to)| {
        let name = move |at| format!("recipient {} of route {}", at + 1, route + 1);
        to.to.iter().enumerate().map(move |(at, address)| (name(at), address.as_str()))
    });
    let mut recipients: Vec<Recipient<'_>> = Vec::new();
    for recipient in default.chain(routes) {
        if !recipients.iter().any(|(_, known)| known.eq_ignore_ascii_case(recipient.1)) {
            recipients.push(recipient);
        }
    }
    recipients
}

/// Whether a recipient is known to get mails.
async fn check_recipient(
    findings: &mut Findings,
    ses: &SesAccount,
    account: &Account,
    (who, address): &Recipient<'_>,
) -> bool {
    let suppressed = ses.is_suppressed(address).await;
    let is_free = suppressed == Ok(false);
    match suppressed {
        Ok(true) => findings.fail(
            format!("{who} is on the suppression list: SES sends it nothing"),
            "see why its mails bounced, then take it off: aws sesv2 delete-suppressed-destination --email-address <address>",
        ),
        Ok(false) => {}
        Err(SesError(code)) => findings.warn(
            format!("SES says nothing about suppression of {who} ({code})"),
            "allow the function's role ses:GetSuppressedDestination",
        ),
    }
    if account.has_production_access {
        return is_free;
    }
    let known = identity(ses, address).await;
    let is_verified = matches!(known, Ok(Some(Identity { is_verified: true, .. })));
    match known {
        Ok(_) if is_verified => {}
        Ok(_) => findings.fail(
            format!("{who} is not verified: the sandbox refuses it"),
            "verify it (aws sesv2 create-email-identity --email-identity <address>), or leave the sandbox",
        ),
        Err(SesError(code)) => findings
            .warn(format!("SES says nothing about {who} ({code})"), "allow the function's role ses:GetEmailIdentity"),
    }
    is_free && is_verified
}

async fn send_test(
    findings: &mut Findings,
    aws: &SdkConfig,
    settings: &ValidationSettings,
    (from, destinations): (&Sender, &[&[MailAddress]]),
    now: Timestamp,
) {
    let (Some(language), Some(time_zone)) = (settings.mail.language, settings.mail.time_zone.clone()) else {
        findings.fail("no test digest without language and time zone", "see `settings`");
        return;
    };
    let digest = test_digest(now);
    let render_settings = RenderSettings::new(language, time_zone, 1);
    let mailer = SesMailer::new(aws, settings.mail.configuration_set.clone().flatten());
    let rendered = render(&digest, &render_settings);
    let mut sent = 0;
    for (at, to) in destinations.iter().enumerate() {
        for message in rendered.messages(&from.header(), &texts(to)) {
            if let Err(error) = mailer.send(&message).await {
                let whom = if at == 0 { "LEADS_MAIL_TO" } else { "a route" };
                findings.fail(
                    format!("the test digest was not sent to {whom}: {error}"),
                    "see what is said of account, sender and recipients",
                );
                return;
            }
        }
        sent += to.len();
    }
    findings.saw(format!("a digest with a test lead sent to {}", count(sent, "recipient")));
}
