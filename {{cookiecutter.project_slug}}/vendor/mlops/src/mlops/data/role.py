"""Credentials of a role of AWS, for a job of GitHub Actions, by OpenID Connect.

GitHub hands the job a token that says which repository and environment it is of; AWS
gives credentials for an hour in return, where the role trusts these. Nothing is stored.

`aws-actions/configure-aws-credentials` does the same. An organisation whose policy
allows GitHub's own actions alone would refuse every workflow that names it, also where
no data lie elsewhere.

References
----------
AWS Security Token Service API, AssumeRoleWithWebIdentity.
https://docs.github.com/actions/reference/security/oidc, "Immutable subject claims".
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple
from xml.etree import ElementTree

from mlops.errors import EnvironmentFailure
from mlops.settings import Settings

_AUDIENCE = "sts.amazonaws.com"

_ADVICE = (
    "check AWS_ROLE_ARN, and that the role trusts this repository and its environment "
    "`data`"
)


_SUBJECT = re.compile(r"[\w@./:-]{1,300}")


class RoleKeys(NamedTuple):
    """Credentials that end by themselves; no `repr` shows them."""

    access_key: str
    secret_key: str
    session_token: str

    def __repr__(self) -> str:
        return "RoleKeys(...)"


def role_keys(now: Settings) -> RoleKeys | None:
    """Return credentials of the role that a job takes.

    None where no role is named or this job gets no token: then the environment and the
    chain of AWS have credentials, or nobody has.

    Raises
    ------
    EnvironmentFailure
        Where GitHub gives no token, or AWS no credentials.
    """
    request_token = now.secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not now.aws_role or not now.id_token_url or not request_token:
        return None
    return _keys_for(now, _id_token(now, request_token))


def _id_token(now: Settings, request_token: str) -> str:
    """Return the token that says to AWS which job this is."""
    import requests

    try:
        response = requests.get(
            now.id_token_url,
            params={"audience": _AUDIENCE},
            headers={"Authorization": f"Bearer {request_token}"},
            timeout=now.http_timeout,
        )
        response.raise_for_status()
        return str(response.json()["value"])
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(
            "GitHub gives this job no token of OIDC",
            found=type(error).__name__,
            do="the job needs `id-token: write`; try again",
        ) from None


def _keys_for(now: Settings, token: str) -> RoleKeys:
    """Return what AWS gives for a token."""
    import requests

    region = now.s3_region or "us-east-1"
    address = now.sts_endpoint or f"https://sts.{region}.amazonaws.com"
    try:
        response = requests.post(
            address,
            data={
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": now.aws_role,
                "RoleSessionName": f"mlops-{now.github.run_id or 'data'}",
                "WebIdentityToken": token,
            },
            timeout=now.http_timeout,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise EnvironmentFailure(
            "AWS does not answer when asked for credentials of the role",
            found=type(error).__name__,
            do="try again later",
        ) from None
    if response.status_code != 200:
        code = re.search(r"<Code>(\w+)</Code>", response.text)
        subject = _subject(token)
        trusted = f"; it has to trust the subject `{subject}`" if subject else ""
        raise EnvironmentFailure(
            "AWS gives this job no credentials of the role",
            key="AWS_ROLE_ARN",
            found=code[1] if code else str(response.status_code),
            do=f"{_ADVICE}{trusted}",
        )
    return _parsed(response.content)


def _subject(token: str) -> str:
    """Return whom a token speaks for, as the role has to name it; empty if unreadable.

    It is no secret. Of repositories made since July 2026 it has the numbers of owner
    and repository, which AWS compares and does not show.
    """
    try:
        payload = token.split(".")[1]
        padded = payload + "=" * (-len(payload) % 4)
        subject = str(json.loads(base64.urlsafe_b64decode(padded))["sub"])
    except (IndexError, KeyError, TypeError, ValueError):
        return ""
    return subject if _SUBJECT.fullmatch(subject) else ""


def _parsed(content: bytes) -> RoleKeys:
    """Return the credentials in an answer of AWS."""
    found = {}
    try:
        for element in ElementTree.fromstring(content).iter():
            found[element.tag.rpartition("}")[2]] = element.text or ""
        return RoleKeys(
            found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]
        )
    except (ElementTree.ParseError, KeyError):
        raise EnvironmentFailure(
            "this is no answer of AWS to a request for credentials", do=_ADVICE
        ) from None
