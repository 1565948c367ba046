#!/usr/bin/env python3
"""Reads and writes record batches with kafka-python, for the ignored tests in kafka_python.rs.

    pip install kafka-python-ng python-snappy lz4 zstandard crc32c

    kafka_python.py read FILE             a line for each record of a .log
    kafka_python.py write BASE CODEC < .. one batch of such lines to stdout

A line is: offset timestamp timestamp-type key value header=value... with bytes in hexadecimal and - for null.
"""

import struct
import sys

from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder


def text(data):
    return "-" if data is None else "x" + data.hex()


def data(text):
    return None if text == "-" else bytes.fromhex(text[1:])


def read(path):
    with open(path, "rb") as log:
        records = MemoryRecords(log.read())
    while records.has_next():
        batch = records.next_batch()
        assert batch.validate_crc(), "CRC of the batch at offset %d" % batch.base_offset
        for record in batch:
            headers = [text(name.encode()) + "=" + text(value) for name, value in record.headers]
            fields = [record.offset, record.timestamp, record.timestamp_type, text(record.key), text(record.value)]
            print(*fields, *headers)
    assert records.valid_bytes() == records.size_in_bytes(), "bytes behind the last batch"


def write(base, codec, lines):
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=False,
        producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 30,
    )
    for offset, line in enumerate(lines):
        _, timestamp, _, key, value, *headers = line.split()
        headers = [header.split("=") for header in headers]
        headers = [(data(name).decode(), data(value)) for name, value in headers]
        assert builder.append(offset, int(timestamp), data(key), data(value), headers) is not None
    batch = bytearray(builder.build())
    # What a broker fills in: base offset and leader epoch, both outside the CRC.
    struct.pack_into(">q", batch, 0, base)
    struct.pack_into(">i", batch, 12, 0)
    sys.stdout.buffer.write(batch)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(sys.argv[2])
    else:
        write(int(sys.argv[2]), int(sys.argv[3]), sys.stdin)
