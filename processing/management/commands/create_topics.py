"""`manage.py create_topics`: make the topics that the settings describe."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingest.kafka_security import librdkafka_settings

# The client tells why it gave up a little later than it should have.
_TIMEOUT_S, _GRACE_S = 30, 5


class Command(BaseCommand):
    help = (
        "Create the Kafka topics for page views and dead letters; existing ones stay as they are."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        brokers = librdkafka_settings(settings.KAFKA_BOOTSTRAP_SERVERS)
        admin = AdminClient({**brokers, "log_level": 3})
        for name, future in admin.create_topics(_topics(), request_timeout=_TIMEOUT_S).items():
            try:
                future.result(timeout=_TIMEOUT_S + _GRACE_S)
            except KafkaException as error:
                self._explain(name, error.args[0])
            else:
                self.stdout.write(f"Created topic {name}.")

    def _explain(self, name: str, error: KafkaError) -> None:
        if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise CommandError(
                f"Topic {name} could not be created at {settings.KAFKA_BOOTSTRAP_SERVERS}: "
                f"{error.str()}. Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_PARTITIONS and "
                "KAFKA_REPLICATION (not more than there are brokers)."
            )
        self.stdout.write(f"Topic {name} exists.")


def _topics() -> list[NewTopic]:
    retention = {"retention.ms": str(settings.KAFKA_RETENTION_HOURS * 3_600_000)}
    return [
        NewTopic(name, partitions, settings.KAFKA_REPLICATION, config=retention)
        for name, partitions in (
            (settings.KAFKA_TOPIC, settings.KAFKA_PARTITIONS),
            (settings.KAFKA_DEAD_TOPIC, 1),
        )
    ]
