"""Runs wandb in a forked child: it leaves a service process and threads behind in its host."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


def apart(function: Callable[[], T]) -> T:
    """What `function` returns in a child process that ends with it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(function, sender))
    child.start()
    sender.close()
    try:
        result: T = receiver.recv()
    finally:
        child.join()
        receiver.close()
    return result


def _send(function: Callable[[], T], sender: Connection) -> None:
    sender.send(function())
