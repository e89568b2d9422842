"""A process that is killed while it keeps and deletes files leaves no row without its bytes, and nothing that cleaning would not find."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from marquetry.server.database.database import Database
from marquetry.server.jobs.live import now_ms
from marquetry.server.storage.blob_store import BLOBS
from marquetry.server.storage.folder_store import FolderStore
from marquetry.server.storage.plans import DAY_MS
from marquetry.server.storage.tables import blobs, files, storage_usage
from tests.server.storage.conftest import room_of

KEEPS = """
import asyncio, random, sys
from pathlib import Path
from marquetry.server.database.database import Database
from marquetry.server.storage.folder_store import FolderStore
from tests.server.storage.conftest import room_of

async def keep_and_delete(folder, seed):
    chance = random.Random(seed)
    database = await Database.open(f"sqlite:///{folder}/files.db")
    room = room_of(FolderStore(folder / "store"), database, folder)
    kept = []
    while True:
        if kept and chance.random() < 0.4:
            await room.storage.remove([kept.pop(chance.randrange(len(kept)))], None)
        else:
            file = await room.keep(b"content %d" % chance.randrange(12), owner=chance.choice("ab"))
            kept.append(file.id)
        print(len(kept), flush=True)

asyncio.run(keep_and_delete(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.parametrize("seed", range(3))
async def test_rows_and_bytes_agree_after_a_kill(tmp_path: Path, seed: int) -> None:
    steps = random.Random(seed).randrange(20, 60)
    with subprocess.Popen([sys.executable, "-c", KEEPS, str(tmp_path), str(seed)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(steps):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    database = await Database.open(f"sqlite:///{tmp_path}/files.db")
    room = room_of(FolderStore(tmp_path / "store"), database, tmp_path)
    try:
        rows = await database.read(lambda connection: connection.execute(select(files)).all())
        assert rows
        for row in rows:
            path = room.storage.store.path(f"{BLOBS}{row.blob_key[:2]}/{row.blob_key}")
            assert path is not None and hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        used = await database.read(lambda connection: {row.owner: row.bytes for row in connection.execute(select(storage_usage))})
        for owner in {row.owner for row in rows}:
            assert used[owner] == sum(row.size_bytes for row in rows if row.owner == owner)
        assert (await room.cleaning.run(now_ms() + DAY_MS)).failed == []
        known = await database.read(lambda connection: set(connection.execute(select(blobs.c.key)).scalars()))
        stored = room.storage.store.listed(BLOBS, "", 1000)
        assert known == {row.blob_key for row in rows} == {found.name.rpartition("/")[2] for found in stored}
    finally:
        await room.storage.close()
        await database.close()
