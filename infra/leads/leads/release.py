"""A release: a folder with a template, a zip for each function and architecture, and checksums.

    template.yaml            the template; each CodeUri ends with the name of a function
    storage.json             the template of the storage account
    lead-intake-x86_64.zip   and so on: the executable `bootstrap` alone
    SHA256SUMS               checksums of all of these, as `sha256sum` writes them

`upload` puts the zips into a bucket of the operator's own account, under names made of their content: a function whose
code is the same is not deployed again.
"""

import hashlib
import os
import re
import tempfile

from . import template
from .aws import write
from .words import Problem

CODE = re.compile(r"^([ \t]*CodeUri:[ \t]*)(\S*?)(lead-[a-z]+)(\.zip)?[ \t]*$", re.M)
CURE = "Make one as infra/README.md says, then say where it is: --release <folder>."
ARCHITECTURES = ("x86_64", "arm64")


def own_folder():
    """The folder of the release that this command belongs to, wherever a link to it may be; None where it is not packed
    in one.
    """
    command = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folder = os.path.dirname(command)
    return folder if os.path.isfile(os.path.join(folder, "SHA256SUMS")) else None


class Release:
    """A release folder that was looked at."""

    def __init__(self, folder):
        self.folder = folder
        try:
            self.template = self._read("template.yaml").decode()
        except OSError:
            raise Problem(f"{folder} is no release: it has no template.yaml", CURE)
        self.functions = sorted({found[3] for found in CODE.finditer(self.template)})
        if not self.functions:
            raise Problem(f"the template in {folder} names no function's code", CURE)
        self._check_sums()

    def _read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def _check_sums(self):
        """Each file must be the one that the release was made with."""
        try:
            lines = self._read("SHA256SUMS").decode().splitlines()
        except OSError:
            raise Problem(f"{self.folder} is no release: it has no SHA256SUMS", CURE)
        self.sums = dict(reversed(line.split(maxsplit=1)) for line in lines if line.strip())
        self.sums = {name.lstrip("*"): digest for name, digest in self.sums.items()}
        if "template.yaml" not in self.sums:
            raise Problem(f"SHA256SUMS in {self.folder} does not name template.yaml", CURE)
        for name, digest in self.sums.items():
            try:
                is_same = hashlib.sha256(self._read(name)).hexdigest() == digest
            except OSError:
                is_same = False
            if not is_same:
                raise Problem(f"{name} in {self.folder} is not the file of the release", "Download the release again.")

    def architectures(self):
        """Those that it has all functions for."""
        return [a for a in ARCHITECTURES if all(f"{name}-{a}.zip" in self.sums for name in self.functions)]

    def parameters(self):
        """The template's parameters by name."""
        return template.parameters(self.template)

    def storage_template(self):
        return os.path.join(self.folder, "storage.json")

    def packaged(self, bucket, prefix, architecture):
        """The template with each function's code in the bucket, and what must be there: key and file."""
        keys = {}
        for name in self.functions:
            file = f"{name}-{architecture}.zip"
            if file not in self.sums:
                raise Problem(
                    f"the release in {self.folder} has no {file}",
                    f"Take another architecture: {' or '.join(self.architectures()) or 'none is there'}.",
                )
            keys[f"{prefix}/{name}-{self.sums[file][:32]}.zip"] = os.path.join(self.folder, file)
        by_name = {os.path.basename(path).rsplit("-", 1)[0]: key for key, path in keys.items()}
        text = CODE.sub(lambda found: f"{found[1]}s3://{bucket}/{by_name[found[3]]}", self.template)
        return text, keys


def bucket_name(stack, account, region):
    """The bucket for the code: one for each stack, so that removing the stack can remove it. Where the stack's name does not
    fit into that of a bucket, its digest tells it from others that begin alike.
    """
    short = stack
    if len(stack) > 24 or stack != stack.lower().strip("-"):
        short = f"{stack[:15].lower().strip('-')}-{hashlib.sha256(stack.encode()).hexdigest()[:8]}"
    return f"{short}-code-{account}-{region}"


def upload(session, release, account, architecture):
    """Puts what is not there yet into the bucket. Gives the address of the template for CloudFormation."""
    bucket = bucket_name(session.stack.name, account, session.region)
    make_bucket(session, bucket)
    text, keys = release.packaged(bucket, "functions", architecture)
    known = objects(session, bucket)
    for key, path in keys.items():
        if key not in known:
            session.aws.call("s3api", "put-object", {"Bucket": bucket, "Key": key}, options=["--body", path], limit=600)
    key = f"template-{hashlib.sha256(text.encode()).hexdigest()[:32]}.yaml"
    if key not in known:
        put_text(session, bucket, key, text)
    host = "amazonaws.com.cn" if session.region.startswith("cn-") else "amazonaws.com"
    # The form that the AWS CLI gives CloudFormation, too.
    return f"https://s3.{session.region}.{host}/{bucket}/{key}"


def put_text(session, bucket, key, text):
    with tempfile.TemporaryDirectory(prefix="leads-") as folder:
        path = write(folder, "template", text.encode())
        session.aws.call("s3api", "put-object", {"Bucket": bucket, "Key": key}, options=["--body", path])


def make_bucket(session, bucket):
    """Makes the bucket, unless it is there. New buckets are private and encrypted."""
    request = {"Bucket": bucket}
    if session.region != "us-east-1":
        request["CreateBucketConfiguration"] = {"LocationConstraint": session.region}
    try:
        session.aws.call("s3api", "create-bucket", request)
    except Problem as problem:
        if problem.code != "BucketAlreadyOwnedByYou":
            raise


def objects(session, bucket):
    """The keys of all objects in the bucket, or None if there is no such bucket."""
    try:
        found = session.aws.call("s3api", "list-objects-v2", {"Bucket": bucket})
    except Problem as problem:
        if problem.code == "NoSuchBucket":
            return None
        raise
    return [entry["Key"] for entry in found.get("Contents", [])]


def remove_bucket(session, bucket):
    """Deletes the bucket with all that is in it; gives whether it was there."""
    keys = objects(session, bucket)
    if keys is None:
        return False
    if keys:
        which = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        session.aws.call("s3api", "delete-objects", {"Bucket": bucket, "Delete": which})
    session.aws.call("s3api", "delete-bucket", {"Bucket": bucket})
    return True
