"""Holder: the name under which a process holds leases, and whether such a process can still be alive."""

from __future__ import annotations

import os
import socket

import psutil


def own_holder() -> str:
    """This process: its machine, number and time of birth, so that a number that is used again isn't taken for it."""
    return f"{socket.gethostname()}/{os.getpid()}/{_born(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Whether that process is known to be gone. Of other machines nothing is known: their leases expire."""
    host, _, rest = holder.partition("/")
    number, _, born = rest.partition("/")
    if host != socket.gethostname() or not number.isdigit():
        return False
    return _born(int(number)) != born


def _born(process_id: int) -> str:
    try:
        return f"{psutil.Process(process_id).create_time():.2f}"
    except psutil.Error:
        return ""
