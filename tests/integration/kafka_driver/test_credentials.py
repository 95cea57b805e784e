"""Credentials on the real broker: each kind lets a whole application in, and a wrong one is told at once."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import faust
from faust.exceptions import AuthenticationFailed
from faust.transport.drivers.aiokafka import Transport
from tests.support.apps import committed_everything, eventually, make_app, running
from tests.support.certificates import Authority
from tests.support.kafka import ADMIN, KafkaCluster
from tests.support.processes import start_python

pytestmark = pytest.mark.kafka

NAME, PASSWORD = ADMIN
WRONG = "wr0ng-s3cret"


class Tokens:
    """Gives tokens without signature (RFC 7515, appendix A.5), as Kafka accepts them by default."""

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime

    async def token(self) -> str:
        """Return a token of the administrator."""
        now = time.time()
        claims = {"sub": NAME, "iat": now - 1000, "exp": now + self.lifetime}
        return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _part(what: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(what).encode()).rstrip(b"=").decode()


def sasl(mechanism: str, password: str = PASSWORD, context: Any = None) -> faust.SASLCredentials:
    """Name and password of the administrator."""
    return faust.SASLCredentials(
        username=NAME, password=password, mechanism=mechanism, ssl_context=context
    )


Made = Callable[[KafkaCluster], tuple[str, dict[str, Any]]]

ACCEPTED: dict[str, Made] = {
    "plain": lambda c: (c.sasl_url, {"broker_credentials": sasl("PLAIN")}),
    "scram-256": lambda c: (c.sasl_url, {"broker_credentials": sasl("SCRAM-SHA-256")}),
    "scram-512 in tls": lambda c: (
        c.sasl_ssl_url,
        {"broker_credentials": sasl("SCRAM-SHA-512", context=c.authority.context())},
    ),
    "token": lambda c: (
        c.sasl_url,
        {"broker_credentials": faust.OAuthCredentials(oauth_cb=Tokens(3600))},
    ),
    "tls": lambda c: (c.ssl_url, {"broker_credentials": c.authority.context()}),
    "tls by ssl_context": lambda c: (c.ssl_url, {"ssl_context": c.authority.context()}),
    "client certificate": lambda c: (
        c.ssl_url,
        {"broker_credentials": faust.SSLCredentials(c.authority.context(client=c.authority))},
    ),
}


@pytest.mark.parametrize("made", ACCEPTED.values(), ids=ACCEPTED)
async def test_an_application_gets_in(
    made: Made, kafka_cluster: KafkaCluster, topic_name: Callable[..., str]
) -> None:
    """settings.md 7: with the right credentials topics are created, written and read, offsets committed."""
    url, options = made(kafka_cluster)
    app = make_app(url, topic_name("app"), topic_disable_leader=True, **options)
    topic = app.topic(topic_name("orders"), value_type=int, internal=True, partitions=1)
    seen: list[int] = []

    @app.agent(topic)
    async def orders(stream: faust.Stream[int]) -> None:
        async for order in stream:
            seen.append(order)

    async with running(app):
        await topic.send(value=7)
        await eventually(lambda: seen == [7])
        await committed_everything(app)


REFUSED: dict[str, tuple[Made, str]] = {
    "plain": (
        lambda c: (c.sasl_url, {"credentials": sasl("PLAIN", WRONG)}),
        "Invalid username or password",
    ),
    "scram-256": (
        lambda c: (c.sasl_url, {"credentials": sasl("SCRAM-SHA-256", WRONG)}),
        "invalid credentials",
    ),
    "scram-512 in tls": (
        lambda c: (
            c.sasl_ssl_url,
            {"credentials": sasl("SCRAM-SHA-512", WRONG, c.authority.context())},
        ),
        "invalid credentials",
    ),
    "token": (
        lambda c: (c.sasl_url, {"credentials": faust.OAuthCredentials(oauth_cb=Tokens(-600))}),
        "the token was refused",
    ),
    "untrusted": (
        lambda c: (c.ssl_url, {"credentials": ssl.create_default_context()}),
        "CERTIFICATE_VERIFY_FAILED",
    ),
    "client certificate": (
        lambda c: (c.ssl_url, {"credentials": c.authority.context(client=Authority())}),
        "",
    ),
}


@pytest.mark.parametrize(("made", "words"), REFUSED.values(), ids=REFUSED)
async def test_wrong_credentials_are_told_at_once(
    made: Made, words: str, kafka_cluster: KafkaCluster
) -> None:
    """One clear error, no second attempt, no password in it, although nothing limits the start."""
    url, options = made(kafka_cluster)
    admin = Transport([URL(url)]).admin(request_timeout=60.0, **options)
    began = time.monotonic()
    with pytest.raises(AuthenticationFailed, match="check broker_credentials") as caught:
        await admin.start()
    assert time.monotonic() - began < 20
    assert words in str(caught.value)
    assert WRONG not in str(caught.value)
    assert url.removeprefix("kafka://") in str(caught.value)
    await admin.close()


PROGRAM = """
import os, ssl
import faust

password = os.environ.get("SHOP_PASSWORD")
app = faust.App(
    "refused",
    broker_credentials=faust.SASLCredentials(username="admin", password=password)
    if password else ssl.create_default_context(),
)

@app.agent(app.topic("refused-orders"))
async def orders(stream):
    async for order in stream:
        pass

app.main()
"""


@pytest.mark.parametrize("kind", ["password", "certificate"])
def test_a_worker_that_is_refused_ends(
    kind: str, kafka_cluster: KafkaCluster, tmp_path: Path
) -> None:
    """The worker says what is wrong, shows no secret, and exits with a status that is not 0."""
    variables = {"APP_DATADIR": str(tmp_path / "data")}
    if kind == "password":
        variables |= {"BROKER_URL": kafka_cluster.sasl_url, "SHOP_PASSWORD": WRONG}
        wanted = "Invalid username or password"
    else:
        variables |= {"BROKER_URL": kafka_cluster.ssl_url}
        wanted = "CERTIFICATE_VERIFY_FAILED"
    with start_python(PROGRAM, "worker", "-l", "info", env=variables) as process:
        status = process.wait(40)
        output = "\n".join([*process.lines(), *process.errors])
    assert status > 0, output
    assert WRONG not in output
    assert wanted in output
    assert "check broker_credentials" in output
    assert output.count("Traceback") <= 1
