"""A PostgreSQL for tests: the one of this machine, or a private one from its binaries. In CI it must not be missing."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

LOCAL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


def serve() -> Iterator[str]:
    """The URL of a server that answers."""
    given = os.environ.get("MARQUETRY_TEST_POSTGRESQL", LOCAL)
    if _answers(given):
        yield given
        return
    binaries = _binaries()
    if binaries is None:
        reason = "no PostgreSQL answers on 127.0.0.1:5432 and none is installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="marquetry-postgresql-"))
    try:
        yield from _private(binaries, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_database(server: str) -> Iterator[str]:
    """The URL of an empty database that is dropped in the end."""
    name = f"marquetry_test_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield engine.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


def _answers(url: str) -> bool:
    engine = create_engine(url, connect_args={"connect_timeout": 2})
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    places = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return Path(places[-1]).parent if places else None


def _private(binaries: Path, folder: Path) -> Iterator[str]:
    as_owner: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    subprocess.run([*as_owner, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], check=True, capture_output=True, cwd="/")
    options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen([*as_owner, binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd="/")
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    try:
        until = time.monotonic() + 30
        while not _answers(url):
            if time.monotonic() > until or server.poll() is not None:
                pytest.fail(f"a private PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')[-1000:]}")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()
        log.close()
