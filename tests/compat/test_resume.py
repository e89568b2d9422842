"""A job whose worker died goes on from what was recorded, on a real server with a real pack."""

from __future__ import annotations

from pathlib import Path

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client
from tests.compat.serving import Server

PACK = """
import os, pathlib, signal, time

class Counted:
    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0}), "file": ("STRING", {"default": ""})}}

    def run(self, value, file):
        with open(file, "a") as notes:
            notes.write("x")
        time.sleep(0.4)
        return (value + 1,)

class DiesOnce(Counted):
    def run(self, value, file):
        mark = pathlib.Path(file)
        if not mark.exists():
            mark.touch()
            time.sleep(0.6)
            os.kill(os.getpid(), signal.SIGKILL)
        return (value * 10,)

NODE_CLASS_MAPPINGS = {"ResumeCounted": Counted, "ResumeDiesOnce": DiesOnce}
"""


def test_what_was_recorded_before_the_worker_died_is_not_made_again(tmp_path: Path) -> None:
    packs = tmp_path / "data" / "custom_nodes"
    packs.mkdir(parents=True)
    (packs / "resume_pack.py").write_text(PACK)
    counts, mark = tmp_path / "counts", tmp_path / "mark"
    graph = GraphBuilder(prefix="resume.")
    made = graph.node("ResumeCounted", "made", value=4, file=str(counts))
    dies = graph.node("ResumeDiesOnce", "dies", value=made.out(0), file=str(mark))
    graph.node("PreviewAny", "show", source=dies.out(0))
    with Server(tmp_path) as server, Client(server.address) as client:
        prompt_id = client.queue(graph.finalize())["prompt_id"]
        client.until(lambda kind, data: bool(kind == "executing" and data["node"] is None and data["prompt_id"] == prompt_id))
        entry = client.entry(prompt_id)
        job = client.request(f"/api/v1/jobs/{prompt_id}")
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"]["resume.show"]["text"] == ["50"]
    assert counts.read_text() == "x"
    assert job["attempts"] == 2
