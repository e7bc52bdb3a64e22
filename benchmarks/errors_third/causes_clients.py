"""Clients of services: Vault, S3 through MinIO, LDAP, SSH, WebSocket, Kafka, RabbitMQ, memcached."""

import asyncio
import atexit
import contextlib
import functools
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import asyncssh
import hvac
import kafka
import ldap3
import minio
import pika
import pymemcache
import websockets.asyncio.client
import websockets.asyncio.server
from draws import ROOT, WORK, Draw, Web, causes, environment, script

web = Web.open()


def vault(status: int, said: Callable[[Draw], str]) -> Callable[[Draw], object]:
    def provoke(draw: Draw) -> object:
        web.says(status, {"errors": [said(draw.unseen)]})
        client = hvac.Client(url=f"http://127.0.0.1:{web.port}", token=draw.hexes())
        return client.secrets.kv.v2.read_secret_version(
            path=f"{draw.word()}/{draw.name()}", raise_on_deleted_version=True
        )

    return provoke


VAULT = [
    *causes("forbidden", hvac_403=vault(403, lambda _d: "permission denied")),
    *causes("not_found", hvac_404=vault(404, lambda d: f'no handler for route "{d.name()}". route entry not found.')),
    *causes("bad_input", hvac_400=vault(400, lambda d: f"failed to parse field {d.ident()}: invalid duration")),
    *causes("overloaded", hvac_503=vault(503, lambda _d: "Vault is sealed")),
    *causes("rate_limited", hvac_429=vault(429, lambda d: f'request path "{d.word()}/data/{d.name()}": rate limit quota exceeded')),
    *causes("server_error", hvac_500=vault(500, lambda d: f"failed to persist lease entry {d.hexes()}")),
]  # fmt: skip


def s3(status: int, code: str, said: str) -> Callable[[Draw], object]:
    """Answer as the S3 protocol documents it; the sentence is the service's, the rest the client's."""

    def provoke(draw: Draw) -> object:
        bucket, key = draw.name().lower().replace("_", "-"), f"{draw.word()}/{draw.name()}"
        web.says(status, f"<Error><Code>{code}</Code><Message>{said}</Message><Resource>/{bucket}/{key}</Resource>"
                 f"<RequestId>{draw.unseen.hexes(16)}</RequestId><HostId>{draw.unseen.hexes(40)}</HostId></Error>", "application/xml")  # fmt: skip
        client = minio.Minio(
            f"127.0.0.1:{web.port}",
            access_key=draw.hexes(20),
            secret_key="right",  # noqa: S106 -- a loopback key
            secure=False,
            region="us-east-1",
        )
        client._http.connection_pool_kw["retries"] = False  # noqa: SLF001 -- five tries with pauses otherwise
        return client.get_object(bucket, key)

    return provoke


MINIO = [
    *causes("not_found", minio_bucket=s3(404, "NoSuchBucket", "The specified bucket does not exist"), minio_key=s3(404, "NoSuchKey", "The specified key does not exist.")),
    *causes("forbidden", minio_denied=s3(403, "AccessDenied", "Access Denied.")),
    *causes("credential", minio_expired=s3(400, "ExpiredToken", "The provided token has expired.")),
    *causes(("credential", "forbidden"), minio_id=s3(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records."),
            minio_signature=s3(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")),
    *causes(("overloaded", "rate_limited"), minio_slow=s3(503, "SlowDown", "Resource requested is unreadable, please reduce your request rate")),
    *causes("conflict", minio_condition=s3(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")),
    *causes("bad_input", minio_name=lambda d: minio.Minio("127.0.0.1:9").stat_object(f"{d.klass()}_{d.number()}!", d.name())),
]  # fmt: skip


def directory() -> ldap3.Connection:
    return ldap3.Connection(
        ldap3.Server("127.0.0.1", port=slapd(), get_info="ALL"),
        "cn=boss,dc=shop",
        "right",
        auto_bind=True,
        raise_exceptions=True,
    )


@functools.cache
def slapd() -> int:
    """Run an LDAP server for as long as this script runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (WORK / "ldap").mkdir(exist_ok=True)
    file = WORK / "slapd.conf"
    file.write_text("".join(f"include {ROOT}/etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
                    + f"modulepath {ROOT}/usr/lib/ldap\nmoduleload back_mdb\npidfile {WORK}/slapd.pid\ndatabase mdb\nsuffix dc=shop\nrootdn cn=boss,dc=shop\nrootpw right\ndirectory {WORK}/ldap\n")  # fmt: skip
    running = subprocess.Popen(
        [ROOT / "usr/sbin/slapd", "-d", "0", "-f", file, "-h", f"ldap://127.0.0.1:{port}"],
        env=environment(),
    )
    atexit.register(running.terminate)
    for _ in range(50):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.1)
    with ldap3.Connection(
        ldap3.Server("127.0.0.1", port=port), "cn=boss,dc=shop", "right", auto_bind=True
    ) as link:
        link.add("dc=shop", ["dcObject", "organization"], {"o": "Shop"})
    return port


LDAP = causes(
    "bad_input", ldap3_class=lambda d: directory().add(f"cn={d.name()},dc=shop", [d.klass()]),
    ldap3_attribute=lambda d: directory().add(f"cn={d.name()},dc=shop", ["person"], {f"{d.word()}{d.word().title()}": d.name(), "sn": "x"}),
)  # fmt: skip


loop = asyncio.new_event_loop()


@functools.cache
def servers() -> tuple[int, int]:
    """Start an SSH and a WebSocket server in a thread and return their ports."""
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> tuple[int, int]:
        async def closing(link: websockets.asyncio.server.ServerConnection) -> None:
            await link.close(1008, (await link.recv())[:90])

        ssh = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=True,
        )
        ws = await websockets.asyncio.server.serve(closing, "127.0.0.1", 0)
        return ssh.get_port(), ws.sockets[0].getsockname()[1]

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


def ssh(draw: Draw) -> None:
    async def enter() -> None:
        await asyncssh.connect(
            "127.0.0.1",
            port,
            username=draw.ident(),
            password=draw.hexes(9),
            known_hosts=None,
            config=None,
        )

    port = servers()[0]
    asyncio.run(enter())


def dropped(draw: Draw) -> None:
    async def talk() -> None:
        async with websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{port}/{draw.name()}"
        ) as link:
            await link.send(f"{draw.unseen.name()} is not allowed")
            await link.recv()

    port = servers()[1]
    asyncio.run(talk())


OTHERS = [
    *causes(("credential", "forbidden"), asyncssh_password=ssh),
    *causes("bad_input", websockets_uri=lambda d: asyncio.run(enter_socket(f"http{d.word()}://{d.host()}/{d.name()}")), pymemcache_long=lambda d: pymemcache.Client("127.0.0.1:9").get(d.name() + d.hexes(260)),
            pymemcache_space=lambda d: pymemcache.Client("127.0.0.1:9").get(f"{d.name()} {d.name()}"), kafka_option=lambda d: kafka.KafkaProducer(**{d.ident(): d.number()}),
            pika_url=lambda d: pika.URLParameters(f"amqp://127.0.0.1/x?heartbeat={d.name()}"),
            asyncssh_option=lambda d: configured(d, f"Port {d.name()}x")),
    *causes(None, websockets_closed=dropped),
]  # fmt: skip


def configured(draw: Draw, line: str) -> None:
    asyncssh.SSHClientConnectionOptions(config=[script(draw, "conf", line)])


async def enter_socket(address: str) -> None:
    await websockets.asyncio.client.connect(address)


CAUSES = [*VAULT, *MINIO, *LDAP, *OTHERS]
