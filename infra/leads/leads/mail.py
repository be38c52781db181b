"""What SES says of the account and of the sender, and asking it to verify one."""

from .words import Problem


def identity(session, name):
    """SES's words on an address or a domain, or None if it knows none of this name."""
    try:
        return session.aws.call("sesv2", "get-email-identity", {"EmailIdentity": name})
    except Problem as problem:
        if problem.code == "NotFoundException":
            return None
        raise


def sender(session, address):
    """The identity by which SES may send for an address: its own or its domain's or a domain's above that. Gives
    name and whether it is verified; the first known one if none is, or (None, False).
    """
    domain = address.rpartition("@")[2]
    parents = domain.split(".")
    names = [address] + [".".join(parents[at:]) for at in range(len(parents) - 1)]
    unverified = None
    for name in names:
        found = identity(session, name)
        if found and found.get("VerifiedForSendingStatus"):
            return name, True
        if found and unverified is None:
            unverified = name
    return unverified, False


def ask_for(session, name):
    """Asks SES to verify an address or a domain. Gives the lines that say what is to be done for it."""
    if identity(session, name) is None:
        session.aws.call("sesv2", "create-email-identity", {"EmailIdentity": name})
    if "@" in name:
        return [f"SES has mailed a link to {name}: open it."]
    tokens = (identity(session, name) or {}).get("DkimAttributes", {}).get("Tokens", [])
    lines = [f"Publish these records in the DNS of {name}; some minutes to hours later SES trusts the domain:"]
    return lines + [f"  {token}._domainkey.{name}  CNAME  {token}.dkim.amazonses.com" for token in tokens]


def account(session):
    """The lines on what is in the way of mails from this account, and whether it is in the sandbox."""
    found = session.aws.call("sesv2", "get-account")
    lines = []
    if found.get("SendingEnabled") is False:
        lines.append("SES has paused sending for this account: see its console.")
    in_sandbox = found.get("ProductionAccessEnabled") is False
    return lines, in_sandbox


SANDBOX = (
    "SES is in its sandbox here: it sends to verified addresses and domains alone, 200 mails a day. Recipients in the",
    (
        "sender's verified domain are fine. For others ask to leave it (SES console, Account dashboard, Request"
        " production access)."
    ),
)
