"""Servers with TLS: an Apache Kafka that lets in only who it knows, and a Redis."""

from pathlib import Path

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tracker_site.embedded.servers import ApacheKafka, RedisServer, free_port

TRIED_TOPIC = "pageviews.tried"
USER, PASSWORD = "tracker", "correct,horse=battery"

_PROPERTIES = r"""
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},\
  SASL_SSL://localhost:{sasl},SSL://localhost:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^.*$/{user}/
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
  user_{user}="{password}";
listener.name.sasl_ssl.connections.max.reauth.ms=5000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecuredKafka(ApacheKafka):
    """The listener without TLS is for its administrator."""

    def __init__(self, directory: Path, cache: Path) -> None:
        super().__init__(directory, cache)
        self._sasl_port, self._tls_port = free_port(), free_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(directory / "ca.pem")
        _certify(authority, directory / "broker.pem", "localhost")
        _certify(authority, directory / "client.pem", "tracker.example.com")

    def _properties(self) -> str:
        return super()._properties() + _PROPERTIES.format(
            modules="org.apache.kafka.common.security",
            port=self.port,
            controller=self.controller_port,
            sasl=self._sasl_port,
            tls=self._tls_port,
            folder=self.directory,
            user=USER,
            password=PASSWORD,
        )

    def let_in(self) -> None:
        """The user, with the rights that README.md says he needs, and no others."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        known = UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())
        (done,) = admin.alter_user_scram_credentials([known]).values()
        done.result(20)
        topics = ("pageviews", "pageviews.dead", TRIED_TOPIC)
        rights = [(ResourceType.GROUP, "counters", "READ")]
        for operation in ("READ", "WRITE", "CREATE"):
            rights += [(ResourceType.TOPIC, topic, operation) for topic in topics]
        bindings = [
            AclBinding(
                kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*",
                AclOperation[operation], AclPermissionType.ALLOW,
            )
            for kind, name, operation in rights
        ]  # fmt: skip
        for created in admin.create_acls(bindings).values():
            created.result(20)

    def scram(self, password: str = PASSWORD, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """The settings of who comes with a password."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self._sasl_port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": password,
            "KAFKA_SSL_CA_LOCATION": str(self.directory / "ca.pem"),
        }

    def certificate(self) -> dict[str, str]:
        """The settings of who comes with a certificate."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self._tls_port}",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_LOCATION": str(self.directory / "ca.pem"),
            "KAFKA_SSL_CERTIFICATE_LOCATION": str(self.directory / "client.pem"),
            "KAFKA_SSL_KEY_LOCATION": str(self.directory / "client.pem"),
        }


class SecuredRedis(RedisServer):
    """Its port without TLS is for the harness."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._tls_port = free_port()
        self.authority = str(directory / "ca.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        _certify(authority, directory / "redis.pem", "localhost")

    @property
    def secured_url(self) -> str:
        return f"rediss://localhost:{self._tls_port}/0?ssl_ca_certs={self.authority}"

    def command(self) -> list[str]:
        file = str(self.directory / "redis.pem")
        options = {
            "tls-port": str(self._tls_port),
            "tls-cert-file": file,
            "tls-key-file": file,
            "tls-ca-cert-file": self.authority,
            "tls-auth-clients": "no",
        }
        return [*super().command(), *(w for k, v in options.items() for w in (f"--{k}", v))]


def _certify(authority: trustme.CA, file: Path, host: str) -> None:
    """Key and certificates of `host`."""
    issued = authority.issue_cert(host)
    # Java reads keys of PKCS #8 only.
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + b"".join(pem.bytes() for pem in issued.cert_chain_pems))
