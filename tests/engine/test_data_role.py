"""A job of GitHub Actions takes a role of AWS by OIDC, and shows none of its keys."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mlops import settings
from mlops.data.fetch import Fetching, fetch
from mlops.data.role import RoleKeys, role_keys
from mlops.errors import EnvironmentFailure
from rehearsal.bucket import BucketServer

ROLE = "arn:aws:iam::123456789012:role/reads-data"
SPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Clouds:
    """GitHub's server of tokens, and AWS's of credentials."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.token_status = 200
        self.token = json.dumps({"value": "ID-TOKEN"})
        self.status = 200
        self.reply = (
            f'<AssumeRoleWithWebIdentityResponse xmlns="{SPACE}">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{BucketServer.key}</AccessKeyId>"
            f"<SecretAccessKey>{BucketServer.secret}</SecretAccessKey>"
            "<SessionToken>SESSION</SessionToken></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )


@pytest.fixture(name="clouds")
def clouds_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    """Serve both on loopback, for a job that names a role."""
    clouds = Clouds()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            given = {"path": self.path, "by": self.headers["Authorization"]}
            clouds.asked.append(given)
            self.reply(clouds.token_status, clouds.token)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            given = {name: values[0] for name, values in parse_qs(body).items()}
            clouds.asked.append(given)
            self.reply(clouds.status, clouds.reply)

        def reply(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in {
        "NO_PROXY": "127.0.0.1",
        "AWS_ROLE_ARN": ROLE,
        "AWS_ENDPOINT_URL_STS": url,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}/token?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "REQUEST-TOKEN",
        "GITHUB_RUN_ID": "77",
    }.items():
        monkeypatch.setenv(name, value)
    yield clouds
    server.shutdown()
    server.server_close()


def test_a_job_gets_the_keys_of_its_role(clouds: Clouds) -> None:
    keys = role_keys(settings.read())
    assert keys == RoleKeys(BucketServer.key, BucketServer.secret, "SESSION")
    assert BucketServer.secret not in repr(keys) and "SESSION" not in str(keys)
    token, credentials = clouds.asked
    assert token["path"] == "/token?api-version=2&audience=sts.amazonaws.com"
    assert token["by"] == "Bearer REQUEST-TOKEN"
    assert credentials == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "mlops-77",
        "WebIdentityToken": "ID-TOKEN",
    }


@pytest.mark.parametrize(
    "name",
    ["AWS_ROLE_ARN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
)
def test_without_a_role_or_a_token_the_chain_of_aws_is_left_to_itself(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    assert role_keys(settings.read()) is None
    assert clouds.asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_status": 403}, "no token of OIDC"),
        ({"token": "no JSON"}, "no token of OIDC"),
        ({"token": "[]"}, "no token of OIDC"),
        (
            {"status": 403, "reply": "<E><Code>AccessDenied</Code>ID-TOKEN</E>"},
            "no credentials of the role",
        ),
        ({"reply": "<half"}, "no answer of AWS"),
        ({"reply": "<R><AccessKeyId>x</AccessKeyId></R>"}, "no answer of AWS"),
    ],
    ids=["refused", "not JSON", "a list", "not trusted", "half", "without keys"],
)
def test_what_goes_wrong_is_said_without_a_token(
    clouds: Clouds, change: dict[str, object], message: str
) -> None:
    vars(clouds).update(change)
    with pytest.raises(EnvironmentFailure, match=message) as raised:
        role_keys(settings.read())
    for secret in ("ID-TOKEN", "REQUEST-TOKEN", "SESSION"):
        assert secret not in str(raised.value)


def token_of(payload: bytes) -> str:
    """Return a token as GitHub writes it, with no signature."""
    encoded = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    return f"HEADER.{encoded}.SIGNATURE"


SUBJECT = "repo:acme@123456/demo@456789:environment:data"


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (token_of(json.dumps({"sub": SUBJECT}).encode()), SUBJECT),
        (token_of(b'{"sub": "repo:acme/demo:environment:data"}'), "repo:acme/demo:"),
        (token_of(b'{"sub": "<script>`rm`"}'), ""),
        (token_of(b'{"sub": 7}'), "`7`"),
        (token_of(b"[]"), ""),
        (token_of(b"\xff\xfe"), ""),
        ("HEADER.#.SIGNATURE", ""),
        ("ID-TOKEN", ""),
        ("", ""),
    ],
)
def test_who_is_not_trusted_is_named_as_the_role_has_to_name_it(
    clouds: Clouds, token: str, shown: str
) -> None:
    """Of repositories made since July 2026 the subject has numbers, and AWS is mute."""
    clouds.token = json.dumps({"value": token})
    clouds.status, clouds.reply = 400, "<E><Code>InvalidIdentityToken</Code></E>"
    with pytest.raises(EnvironmentFailure, match="InvalidIdentityToken") as raised:
        role_keys(settings.read())
    text = str(raised.value)
    assert ("it has to trust the subject" in text) is bool(shown)
    assert shown in text and "SIGNATURE" not in text and "<script>" not in text


def test_a_bucket_is_read_with_the_keys_of_the_role_and_it_is_taken_once(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = BucketServer("acme")
    server.put("acme", "1.csv", b"a\n1\n")
    server.put("acme", "2.csv", b"a\n2\n")
    with server.running():
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
        how = Fetching(settings.current().now())
        lock = fetch({"data.source": "s3://acme/*.csv"}, tmp_path, how)
    assert len(lock.objects) == 2
    assert len(clouds.asked) == 2
