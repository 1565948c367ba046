#!/usr/bin/env python3
"""What other clients than Kafka's own read of a cluster: a JSON line for each partition.

    clients.py kafka-python SERVERS < topics
    clients.py librdkafka SERVERS < topics

A line of the input is a topic and its number of partitions, with a tab between. `requirements.txt` has the versions.
"""

import json
import sys


def hexadecimal(data):
    return None if data is None else data.hex()


def record(offset, timestamp, key, value, headers):
    headers = [[name.encode().hex(), hexadecimal(each)] for name, each in headers or []]
    return {"offset": offset, "timestamp": timestamp, "key": hexadecimal(key), "value": hexadecimal(value), "headers": headers}


def kafka_python(servers, topic, partition):
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), enable_auto_commit=False, auto_offset_reset="earliest", isolation_level="read_committed")
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end = consumer.end_offsets([place])[place]
    while consumer.position(place) < end:
        for batch in consumer.poll(timeout_ms=500).values():
            for each in batch:
                yield record(each.offset, each.timestamp, each.key, each.value, each.headers)
    consumer.close()


def librdkafka(servers, topic, partition):
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while True:
        message = consumer.poll(10)
        if message is None:
            raise RuntimeError(f"nothing comes from {topic}-{partition}")
        if message.error() is None:
            yield record(message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            break
        else:
            raise RuntimeError(message.error())
    consumer.close()


def main():
    read = {"kafka-python": kafka_python, "librdkafka": librdkafka}[sys.argv[1]]
    for line in sys.stdin:
        topic, partitions = line.rstrip("\n").split("\t")
        for partition in range(int(partitions)):
            records = list(read(sys.argv[2], topic, partition))
            print(json.dumps({"topic": topic, "partition": partition, "records": records}))


main()
