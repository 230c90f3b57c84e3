"""Reads what wandb wrote, in two ways that know nothing of each other.

`inspect` asks wandb's own reader. `decode` unwraps the file itself: a header of 7 bytes, then
blocks of 32 KiB that hold chunks (CRC-32, length, kind: whole, first, middle, last) of protobuf
records.
"""

import importlib
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
HEADER = struct.Struct("<IHB")
WHOLE, FIRST, _MIDDLE, LAST = 1, 2, 3, 4


def run_directories(root: Path) -> list[Path]:
    return sorted((root / "wandb").glob("offline-run-*"))


def inspect(directory: Path) -> list[dict[str, Any]]:
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json"]
    done = subprocess.run([*command, str(directory)], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line[kind] for line in lines if line["type"] == kind]


def summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for line in of_type(lines, "summary"):
        merged.update(line["update"])
    return merged


def config(lines: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for line in of_type(lines, "run"):
        merged.update(line["config"]["update"])
    for line in of_type(lines, "config"):
        merged.update(line["update"])
    return merged


def decode(directory: Path) -> list[Any]:
    """The protobuf records of a run's directory."""
    protobuf: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    [path] = directory.glob("*.wandb")
    records = []
    for payload in _payloads(path.read_bytes()):
        record = protobuf.Record()
        record.ParseFromString(payload)
        records.append(record)
    return records


def values_of(name: str, records: list[Any]) -> Iterator[str]:
    """The JSON of each value that the history has of metric `name`."""
    for record in records:
        for item in record.history.item:
            if name in {item.key, ".".join(item.nested_key)}:
                yield item.value_json


def _payloads(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    position, parts = 7, b""
    while position + HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER.size:
            position += left
            continue
        checksum, length, kind = HEADER.unpack_from(data, position)
        chunk = data[position + HEADER.size : position + HEADER.size + length]
        assert zlib.crc32(chunk, zlib.crc32(bytes([kind]))) == checksum
        position += HEADER.size + length
        parts = chunk if kind in {WHOLE, FIRST} else parts + chunk
        if kind in {WHOLE, LAST}:
            yield parts
