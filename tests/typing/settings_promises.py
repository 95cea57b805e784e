"""Settings: what may be written, and what is read."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import timedelta, tzinfo
from pathlib import Path
from typing import assert_type

from yarl import URL

import faust
from faust.auth import AuthProtocol, Credentials, SASLMechanism
from faust.settings import ProcessingGuarantee

conf = faust.App("shop").conf
assert_type(conf, faust.Settings)
assert_type(conf.id, str)
assert_type(conf.name, str)
assert_type(conf.version, int)
assert_type(conf.debug, bool)
assert_type(conf.origin, str | None)
assert_type(conf.broker, list[URL])
assert_type(conf.broker_producer, list[URL])
assert_type(conf.broker_commit_interval, float)
assert_type(conf.broker_max_poll_records, int | None)
assert_type(conf.broker_credentials, Credentials | None)
assert_type(conf.ssl_context, ssl.SSLContext | None)
assert_type(conf.blocking_timeout, float | None)
assert_type(conf.datadir, Path)
assert_type(conf.appdir, Path)
assert_type(conf.timezone, tzinfo)
assert_type(conf.store, URL)
assert_type(conf.web_port, int)
assert_type(conf.processing_guarantee, ProcessingGuarantee)
assert_type(conf.producer_compression_type, str | None)
assert_type(conf.worker_redirect_stdouts_level, str | int)

faust.App("shop", broker="kafka://a;b", topic_partitions="3", debug="yes", version=None)
faust.App("shop", broker=["kafka://a", URL("kafka://b")], broker_commit_interval=timedelta(1))
faust.App("shop", config_source={"debug": True}, env={"APP_DEBUG": "1"})
faust.App("shop", loop=asyncio.new_event_loop(), beacon=None)
faust.App("shop", processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE, store=URL("memory://"))
faust.App("shop", broker_credentials=ssl.create_default_context())
faust.App("shop", broker_credentials=faust.SASLCredentials(username="u", password="p"))
conf.broker = "kafka://c"
conf.broker_commit_interval = "3/m"


class Provider:
    """Gives a token."""

    async def token(self) -> str:
        """Return it."""
        return "abc"


oauth = faust.OAuthCredentials(oauth_cb=Provider(), ssl_context=ssl.create_default_context())
assert_type(oauth.protocol, AuthProtocol)
assert_type(oauth.mechanism, SASLMechanism)
assert_type(faust.SSLCredentials().context, ssl.SSLContext)


class ShopSettings(faust.Settings):
    """Settings with one of our own."""

    colours: Mapping[str, str] | None = None


ShopSettings("shop", colours={"sky": "blue"}, topic_partitions=3)
