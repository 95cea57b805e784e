"""A real Apache Kafka for tests, benchmarks, and the hand: ``python -m tests.support.kafka``.

The jars come from Maven by the ten lines of ``kafka-pom.xml`` into ``.kafka/jars`` (43 MB, once);
Java 17 runs them. Each node is broker and controller at once (KRaft) and listens on free loopback
ports, so any number of clusters live side by side. A cluster's data is thrown away with it, its
processes end with ours (see `tests.support.processes`).

Five doors per node: plain text for everybody; SASL with two users: `ADMIN` may do everything, `GUEST`
(PLAIN only) what `KafkaCluster.allow` lets it do; TLS, with certificates of an authority made for the
cluster, which a client may answer with one of its own and be `ADMIN`; SASL within TLS; and plain text at an address
where nobody listens unless a test puts a proxy there (`KafkaCluster.behind`). What is not Kafka's default, for
speed in tests: rebalances start at once, sessions may be as short as one second, a broker that died
may come back after five, internal topics have four partitions, compaction and transaction timeouts
are looked after twice a second, and a topic that somebody asks for is created with 8 partitions.

Nothing here needs pytest.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.java import CACHE, ToolMissing, fetch_jars, find_java
from tests.support.ports import free_ports
from tests.support.processes import remove_at_exit, unwatch, watch

__all__ = ["ADMIN", "AUTO_PARTITIONS", "GUEST", "KafkaCluster", "ToolMissing"]

ADMIN = ("admin", "admin-secret")
"""Name and password of the SASL user who may do everything."""
GUEST = ("guest", "guest-secret")
"""Name and password of the SASL user who may do only what `KafkaCluster.allow` lets it do."""
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
AUTO_PARTITIONS = 8
"""Partitions of a topic that the broker creates because somebody asked for it."""


def archive_classes() -> Path:
    """Return the JVM's archive of Kafka's classes (JEP 350), made once by starting and stopping a node.

    A start that reads it takes 1.5 s of CPU instead of 2.6. A JVM that cannot make one leaves an empty file, which others
    pass over with a warning in their log. Safe to call from several processes at once.
    """
    java, jars = find_java(), fetch_jars()
    made_of = f"{java.path} {java.version} {jars} {(jars / 'pom.sha256').read_text()}"
    archive = CACHE / f"classes-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.jsa"
    with (CACHE / "archive-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            making = archive.with_suffix(".making")
            making.unlink(missing_ok=True)
            with KafkaCluster(java_options=[f"-XX:ArchiveClassesAtExit={making}"]) as cluster:
                cluster.stop(timeout=60.0)
            making.touch()
            making.rename(archive)
    return archive


# -- one node


class _Node:
    """One process that is broker and controller."""

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        self.directory = directory
        (
            self.port,
            self.sasl_port,
            self.ssl_port,
            self.sasl_ssl_port,
            self.controller_port,
            self.behind_port,
            self.proxied_port,
        ) = free_ports(7)
        self.properties = directory / "server.properties"
        self.log = directory / "server.log"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None else None

    def start(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*command, "kafka.Kafka", str(self.properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        watch(self._popen.pid)

    def send_signal(self, number: int) -> None:
        if self._popen is not None:
            self._popen.send_signal(number)

    def wait(self, timeout: float) -> None:
        """Wait for the end; after *timeout* seconds kill."""
        if self._popen is None:
            return
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        unwatch(self._popen.pid)
        self._popen = None

    def check_alive(self) -> None:
        if self._popen is None or self._popen.poll() is not None:
            status = self._popen.returncode if self._popen else None
            raise RuntimeError(f"Kafka node {self.number} ended with {status}:\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """Return the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _ask(port: int, *, api: int, version: int, body: bytes, most: int = 64) -> bytes:
    """Return at most *most* bytes of a node's answer, correlation id first; empty when there is none."""
    request = struct.pack(">hhi", api, version, 1) + _text("faust-harness") + body
    with (
        contextlib.suppress(OSError, struct.error),
        socket.create_connection(("127.0.0.1", port), 2) as door,
    ):
        door.settimeout(10)
        door.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", door.recv(4, socket.MSG_WAITALL))[0]
        return door.recv(min(size, most), socket.MSG_WAITALL)
    return b""


RESOURCES = {"topic": 2, "group": 3, "transactional_id": 5}
ALLOW = 3


def _binding(user: str, name: str, resource: str, permission: int) -> bytes:
    """Return the list of one ACL, or of one filter for it: every operation on one resource, from everywhere."""
    literal, all_operations = 3, 2
    entry = struct.pack(">ib", 1, RESOURCES[resource]) + _text(name) + struct.pack(">b", literal)
    entry += _text(f"User:{user}") + _text("*")
    return entry + struct.pack(">bb", all_operations, permission)


def _check_answer(answer: bytes, what: str) -> None:
    """Look at the first error code of a list, behind correlation id and throttle time."""
    error = struct.unpack(">iih", answer[4:14])[2] if len(answer) >= 14 else "no answer"
    if error:
        raise RuntimeError(f"could not {what}: error {error}")


def _brokers_known_to(port: int) -> int:
    """Ask a node (Metadata, version 0, no topic) how many brokers are up; 0: no answer."""
    answer = _ask(port, api=3, version=0, body=struct.pack(">i", 0))
    return int(struct.unpack(">ii", answer[:8])[1]) if len(answer) >= 8 else 0


class _Answer:
    """Reads an answer field by field."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, kind: str = "i") -> int:
        """Read a number, by default of four bytes."""
        found: int = struct.unpack_from(f">{kind}", self._data, self._at)[0]
        self._at += struct.calcsize(f">{kind}")
        return found

    def text(self) -> str:
        """Read a string."""
        size = self.number("h")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def numbers(self) -> list[int]:
        """Read an array of numbers."""
        return [self.number() for _ in range(self.number())]


Replicas = dict[str, dict[int, tuple[int, list[int]]]]
"""By topic and partition: the leader (-1: none), and the replicas in their order of preference."""


def _replicas_known_to(port: int) -> Replicas:
    """Ask a node (Metadata, version 0, all topics) who leads and who has what."""
    found: Replicas = {}
    data = _ask(port, api=3, version=0, body=struct.pack(">i", 0), most=1 << 24)
    if not data:
        return found
    answer = _Answer(data)
    answer.number()  # correlation id
    for _ in range(answer.number()):
        answer.number(), answer.text(), answer.number()  # a broker: node, host, port
    for _ in range(answer.number()):
        answer.number("h")  # error
        partitions = found.setdefault(answer.text(), {})
        for _ in range(answer.number()):
            answer.number("h")
            number, leader, replicas = answer.number(), answer.number(), answer.numbers()
            answer.numbers()  # in-sync replicas
            partitions[number] = leader, replicas
    return found


def _compact(text: str) -> bytes:
    """Write a short string or array length as flexible versions do (KIP-482): length + 1 in one byte."""
    assert len(text.encode()) < 127
    return struct.pack(">b", len(text.encode()) + 1) + text.encode()


# -- the cluster


class KafkaCluster:
    """One or three nodes of Kafka on this machine.

    Args:
        nodes: How many; topics are replicated on all of them unless they say otherwise.
        heap: Java heap per node.
        properties: Lines for server.properties that override ours.
        measured: Compiled as well as Java can, for benchmarks. Without, starting takes a third of the CPU.
        java_options: Options of the JVM, instead of the archive of classes that a cluster reads that is not measured.

    Every method blocks the thread; in a coroutine use ``asyncio.to_thread``.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        heap: str = "512m",
        properties: Mapping[str, str] | None = None,
        measured: bool = False,
        java_options: Sequence[str] = (),
    ) -> None:
        self.heap = heap
        self._measured = measured
        self._java_options = list(java_options)
        self._overrides = dict(properties or {})
        self.authority = Authority()
        """Signs the certificates of the nodes; its `context` is what a client must trust."""
        self._directory = Path(tempfile.mkdtemp(prefix="faust-kafka-"))
        remove_at_exit(self._directory)
        self._nodes: list[_Node] = []
        for number in range(1, nodes + 1):
            directory = self._directory / f"node-{number}"
            directory.mkdir()
            self._nodes.append(_Node(number, directory))
        self._command: list[str] = []

    # -- addresses

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every node, joined by commas."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)

    @property
    def url(self) -> str:
        """``kafka://`` URL of the first node's plain-text door."""
        return f"kafka://127.0.0.1:{self._nodes[0].port}"

    @property
    def urls(self) -> list[str]:
        """``kafka://`` URLs of all nodes."""
        return [f"kafka://127.0.0.1:{node.port}" for node in self._nodes]

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    @property
    def behind(self) -> list[tuple[int, int]]:
        """Per node the port that a proxy must listen on for `proxied_url`, and the port it must pass on to."""
        return [(node.proxied_port, node.behind_port) for node in self._nodes]

    @property
    def proxied_url(self) -> str:
        """``kafka://`` URLs of the doors behind proxies, joined by ``;``."""
        return ";".join(f"kafka://127.0.0.1:{node.proxied_port}" for node in self._nodes)

    @property
    def sasl_url(self) -> str:
        """``kafka://`` URL of the door that asks for a password (SASL_PLAINTEXT)."""
        return f"kafka://127.0.0.1:{self._nodes[0].sasl_port}"

    @property
    def ssl_url(self) -> str:
        """``kafka://`` URL of the door with TLS (SSL)."""
        return f"kafka://127.0.0.1:{self._nodes[0].ssl_port}"

    @property
    def sasl_ssl_url(self) -> str:
        """``kafka://`` URL of the door with TLS that asks for a password (SASL_SSL)."""
        return f"kafka://127.0.0.1:{self._nodes[0].sasl_ssl_port}"

    @property
    def pids(self) -> list[int]:
        """Process ids of the nodes that were started and not stopped."""
        return [node.pid for node in self._nodes if node.pid is not None]

    def log_tail(self, node: int = 1, lines: int = 40) -> str:
        """Return the last lines of a node's log."""
        return self._nodes[node - 1].tail(lines)

    def copy_logs(self, to: Path, topics: Sequence[str]) -> None:
        """Copy every node's partitions of topics, for `kafka.tools.DumpLogSegments`; the nodes may run."""
        beginnings = tuple(f"{topic}-" for topic in topics)
        leave_out = shutil.ignore_patterns("*.index", "*.timeindex", "*.deleted")  # sparse, or gone
        for node in self._nodes:
            for partition in (node.directory / "data").iterdir():
                if partition.name.startswith(beginnings):
                    with contextlib.suppress(shutil.Error):  # something was removed meanwhile
                        shutil.copytree(
                            partition, to / f"node-{node.number}" / partition.name, ignore=leave_out
                        )

    def cut_log(self, topic: str, partition: int = 0, *, share: float = 0.5) -> None:
        """Lose the end of a partition, on nodes that do not run, as an unclean election does; *share* of its bytes are left."""
        for node in self._nodes:
            directory = node.directory / "data" / f"{topic}-{partition}"
            last = max(directory.glob("*.log"))
            os.truncate(last, int(last.stat().st_size * share))

    # -- life and death

    def start(self, timeout: float = 60.0) -> KafkaCluster:
        """Format the storage, start every node and wait until each answers and knows all others.

        Raises:
            ToolMissing: no Java, or no Maven and no jars.
            RuntimeError: a node ended, or was not ready in *timeout* seconds.
        """
        self._command = self._java_command()
        self._format()
        for node in self._nodes:
            node.start(self._command)
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until every node answers and knows all others."""
        deadline = time.monotonic() + timeout
        for node in self._nodes:
            while _brokers_known_to(node.port) < len(self._nodes):
                node.check_alive()
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"Kafka node {node.number} was not ready in {timeout} s:\n{node.tail()}"
                    )
                time.sleep(0.1)
            node.check_alive()

    def stop(self, node: int | None = None, timeout: float = 20.0) -> None:
        """End properly (SIGTERM) one node, or all; after *timeout* seconds kill. The data stays."""
        for each in self._chosen(node):
            each.send_signal(signal.SIGTERM)
            each.send_signal(signal.SIGCONT)
        for each in self._chosen(node):
            each.wait(timeout)

    def kill(self, node: int | None = None) -> None:
        """SIGKILL one node, or all. The data stays."""
        for each in self._chosen(node):
            each.send_signal(signal.SIGKILL)
            each.wait(10.0)

    def restart(self, node: int | None = None, timeout: float = 60.0) -> None:
        """Start one node or all again, on the same ports and data; what runs is stopped before."""
        self.stop(node)
        for each in self._chosen(node):
            each.start(self._command)
        self.wait_ready(timeout)

    def replace(self, timeout: float = 60.0) -> None:
        """Come back as another cluster: the same addresses, another id, and nothing of what was there."""
        self.kill()
        for node in self._nodes:
            shutil.rmtree(node.directory / "data")
        self.start(timeout)

    def pause(self, node: int | None = None) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        for each in self._chosen(node):
            each.send_signal(signal.SIGSTOP)

    def cont(self, node: int | None = None) -> None:
        """SIGCONT."""
        for each in self._chosen(node):
            each.send_signal(signal.SIGCONT)

    def heal(self) -> None:
        """Wake or start again whatever a test that failed left frozen or dead."""
        self.cont()
        if len(self.pids) < len(self._nodes):
            for each in self._nodes:
                if each.pid is None:
                    each.start(self._command)
            self.wait_ready()

    def close(self) -> None:
        """Kill every node and remove the data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> KafkaCluster:
        return self.start()

    def __exit__(self, *args: object) -> None:
        self.close()

    def _chosen(self, number: int | None) -> list[_Node]:
        return self._nodes if number is None else [self._nodes[number - 1]]

    def coordinator(self, group: str) -> int:
        """Return the number of the node that coordinates a group (protocol: FindCoordinator, version 0)."""
        for node in self._nodes:
            answer = _ask(node.port, api=10, version=0, body=_text(group))
            if len(answer) >= 10 and not struct.unpack(">h", answer[4:6])[0]:
                return int(struct.unpack(">i", answer[6:10])[0])
        raise RuntimeError(f"no node knows the coordinator of {group}")

    def elect_leaders(self) -> None:
        """Give every partition its preferred leader (protocol: ElectLeaders, version 1; KIP-460)."""
        preferred, every_partition, timeout_ms = 0, -1, 10_000
        body = struct.pack(">bii", preferred, every_partition, timeout_ms)
        if not any(_ask(node.port, api=43, version=1, body=body) for node in self._nodes):
            raise RuntimeError("no node has elected leaders")

    def move_leaders(self) -> None:
        """Give every partition another leader while all nodes are up.

        The order of its replicas is changed so that another one is preferred, which moves no data
        (AlterPartitionReassignments, version 0; KIP-455), and the preferred ones are elected.
        """
        known = next(filter(None, (_replicas_known_to(node.port) for node in self._nodes)), None)
        if not known:
            raise RuntimeError("no node knows who leads")
        for topic, partitions in known.items():
            body = b"\0" + struct.pack(">i", 10_000)  # no tags in the header; timeout
            body += b"\2" + _compact(topic) + struct.pack(">b", len(partitions) + 1)
            for number, (leader, replicas) in partitions.items():
                at = replicas.index(leader) + 1 if leader in replicas else 0
                order = replicas[at:] + replicas[:at]
                body += struct.pack(f">ib{len(order)}ib", number, len(order) + 1, *order, 0)
            body += b"\0\0"
            if not any(_ask(node.port, api=45, version=0, body=body) for node in self._nodes):
                raise RuntimeError(f"no node has moved the leaders of {topic}")
        self.elect_leaders()

    def leaders(self, topic: str) -> dict[int, int]:
        """Return the node that leads each partition of a topic, -1 where there is none."""
        known = next(filter(None, (_replicas_known_to(node.port) for node in self._nodes)), {})
        return {number: leader for number, (leader, _) in known.get(topic, {}).items()}

    def refuse_produce(self, topic: str, refuse: bool) -> None:
        """Have brokers refuse to append to a topic (NOT_ENOUGH_REPLICAS), or accept again.

        More replicas must be in sync than there can be.
        """
        self.configure(topic, "min.insync.replicas", "9" if refuse else None)

    def _ask_any(self, api: int, version: int, body: bytes) -> bytes:
        """Return the answer of the first node that gives one; empty when none does."""
        answers = (_ask(node.port, api=api, version=version, body=body) for node in self._nodes)
        return next(filter(None, answers), b"")

    def allow(self, user: str, name: str, resource: str = "topic") -> None:
        """Let a SASL user do everything with one ``topic``, ``group`` or ``transactional_id`` (CreateAcls, version 1)."""
        answer = self._ask_any(30, 1, _binding(user, name, resource, ALLOW))
        _check_answer(answer, f"allow {user} to use {resource} {name}")

    def forbid(self, user: str, name: str, resource: str = "topic") -> None:
        """Take back what `allow` has given (protocol: DeleteAcls, version 1)."""
        answer = self._ask_any(31, 1, _binding(user, name, resource, ALLOW))
        _check_answer(answer, f"forbid {user} to use {resource} {name}")

    def configure(self, topic: str, option: str, value: str | None) -> None:
        """Set an option of a topic, or with None put it back (protocol: IncrementalAlterConfigs, version 0; KIP-339)."""
        topic_resource, put, remove = 2, 0, 1
        body = struct.pack(">ib", 1, topic_resource) + _text(topic) + struct.pack(">i", 1)
        body += _text(option) + struct.pack(">b", remove if value is None else put)
        body += (b"\xff\xff" if value is None else _text(value)) + struct.pack(">?", False)
        answer = self._ask_any(44, 0, body)
        _check_answer(answer, f"set {option} of {topic} to {value}")

    # -- configuration

    def _java_command(self) -> list[str]:
        java, jars = find_java(), fetch_jars()
        options = self._java_options
        if not options and not self._measured:
            options = [f"-XX:SharedArchiveFile={archive_classes()}"]
        quiet = "-Dorg.slf4j.simpleLogger."
        return [
            java.path,
            f"-Xmx{self.heap}",
            *([] if self._measured else ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]),
            *options,
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
            f"{quiet}defaultLogLevel=warn",
            f"{quiet}showDateTime=true",
            f"{quiet}dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            f"{jars}/*",
        ]

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if cluster_id.startswith("-"):  # the tool would read an option
            cluster_id = "A" + cluster_id[1:]
        voters = ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in self._nodes)
        tools = []
        for node in self._nodes:
            lines = {**self._common_properties(), **_node_properties(node, voters)}
            own, trusted = self.authority.write_server(node.directory)
            lines.update(
                {"ssl.keystore.location": str(own), "ssl.truststore.location": str(trusted)}
            )
            lines.update(self._overrides)
            node.properties.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
            tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"]
            users = [
                f"--add-scram={each}=[name={ADMIN[0]},password={ADMIN[1]},iterations=4096]"
                for each in SCRAM
            ]
            tools.append(
                subprocess.Popen(
                    [*self._command, *tool, str(node.properties), *users],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        for each in tools:
            said, _ = each.communicate(timeout=60)
            if each.returncode:
                raise RuntimeError(f"Kafka's storage could not be formatted:\n{said}")

    def _common_properties(self) -> dict[str, str]:
        copies = str(len(self._nodes))
        in_sync = str(len(self._nodes) // 2 + 1) if len(self._nodes) > 1 else "1"
        internal = {
            f"{name}.{key}": value
            for name in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
            for key, value in (("num.partitions", "4"), ("replication.factor", copies))
        }
        return {
            "process.roles": "broker,controller",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": ",".join(("PLAIN", "OAUTHBEARER", *SCRAM)),
            **_logins("sasl"),
            **_logins("sasl_ssl"),
            "ssl.keystore.type": "PEM",
            "ssl.truststore.type": "PEM",
            "ssl.client.auth": "requested",
            "ssl.principal.mapping.rules": f"RULE:^.*$/{ADMIN[0]}/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{ADMIN[0]}",
            "num.partitions": str(AUTO_PARTITIONS),
            "auto.create.topics.enable": "true",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            **internal,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.min.isr": in_sync,
            "broker.session.timeout.ms": "5000",
            "broker.heartbeat.interval.ms": "1000",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
            "log.cleaner.backoff.ms": "500",
            "log.cleaner.threads": "1",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
        }


def _logins(door: str) -> dict[str, str]:
    """Say how each mechanism of a door checks who comes; tokens need no signature (the default)."""
    security = "org.apache.kafka.common.security"
    scram = f"{security}.scram.ScramLoginModule required;"
    modules = {
        "plain": (
            f"{security}.plain.PlainLoginModule required "
            f'user_{ADMIN[0]}="{ADMIN[1]}" user_{GUEST[0]}="{GUEST[1]}";'
        ),
        "oauthbearer": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
        **{each.lower(): scram for each in SCRAM},
    }
    return {f"listener.name.{door}.{name}.sasl.jaas.config": it for name, it in modules.items()}


def _node_properties(node: _Node, voters: str) -> dict[str, str]:
    ports = {
        "PLAINTEXT": node.port,
        "SASL": node.sasl_port,
        "SSL": node.ssl_port,
        "SASL_SSL": node.sasl_ssl_port,
    }
    doors = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    return {
        "node.id": str(node.number),
        "controller.quorum.voters": voters,
        "listeners": (
            f"{doors},PROXIED://127.0.0.1:{node.behind_port},CONTROLLER://127.0.0.1:{node.controller_port}"
        ),
        "advertised.listeners": f"{doors},PROXIED://127.0.0.1:{node.proxied_port}",
        "log.dirs": str(node.directory / "data"),
    }


# -- by hand


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a cluster until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.kafka", description=main.__doc__)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1)
    parser.add_argument("--heap", default="512m", help="Java heap per node (default: %(default)s)")
    options = parser.parse_args(arguments)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _interrupts(),
        KafkaCluster(options.nodes, heap=options.heap, measured=True) as cluster,
    ):
        print(";".join(cluster.urls), flush=True)
        print("Kafka runs until you press Ctrl-C; its data goes with it.", flush=True)
        while True:
            time.sleep(1)
            for node in cluster._nodes:
                node.check_alive()


if __name__ == "__main__":
    try:
        main()
    except ToolMissing as missing:
        raise SystemExit(str(missing)) from None
