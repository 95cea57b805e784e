"""Mistakes in settings that a type checker finds before the program runs."""

import faust

faust.App()  # error: call-arg | reportCallIssue
faust.App(5)  # error: arg-type | reportArgumentType
faust.App("shop", "kafka://a")  # error: call-arg | reportCallIssue
faust.App("shop", brokr="kafka://a")  # error: call-arg | reportCallIssue
faust.App("shop", topic_partitions=[])  # error: arg-type | reportArgumentType
faust.App("shop", broker=5)  # error: arg-type | reportArgumentType
faust.App("shop", broker_credentials="user:password")  # error: arg-type | reportArgumentType
faust.App("shop", processing_guarantee=3)  # error: arg-type | reportArgumentType
faust.App("shop", loop="uvloop")  # error: arg-type | reportArgumentType
faust.Settings("shop", brokr="kafka://a")  # error: call-arg | reportCallIssue
faust.SASLCredentials("user", "password")  # error: call-arg | reportCallIssue
faust.OAuthCredentials()  # error: call-arg | reportCallIssue
faust.OAuthCredentials(oauth_cb=lambda: "abc")  # error: arg-type | reportArgumentType

conf = faust.Settings("shop")
conf.broker_commit_interval = []  # error: assignment | reportAttributeAccessIssue
conf.name = "x"  # error: misc | reportAttributeAccessIssue
conf.debug.upper()  # error: attr-defined | reportAttributeAccessIssue
