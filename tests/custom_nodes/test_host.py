"""Finding and loading packs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from marquetry.custom_nodes.host import PackReport, load_packs
from marquetry.custom_nodes.installation import Installation
from marquetry.engine.declare import node, node_type
from marquetry.engine.folders import Folders
from marquetry.engine.ports import Image
from marquetry.engine.registry import Registry, describe

Load = Callable[[], list[PackReport]]
Write = Callable[..., Path]

NODE = """
    class Echo:
        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"text": ("STRING", {"default": "a"})}}
        RETURN_TYPES = ("STRING",)
        FUNCTION = "run"
        CATEGORY = "echo"
        def run(self, text):
            return (text,)
    NODE_CLASS_MAPPINGS = {"Echo": Echo}
    NODE_DISPLAY_NAME_MAPPINGS = {"Echo": "Echo a text"}
"""


def test_a_package_and_a_single_file_are_both_packs(write_pack: Write, load: Load, registry: Registry) -> None:
    write_pack("package", NODE)
    write_pack("single.py", NODE.replace('"Echo":', '"Echo2":'))
    reports = {report.name: report for report in load()}
    assert reports["package"].node_ids == ("Echo",)
    assert reports["single"].node_ids == ("Echo2",)
    assert registry["Echo"].title == "Echo a text"
    assert registry["Echo"].module == "custom_nodes.package"


def test_a_name_that_is_no_python_name_loads_and_its_modules_find_each_other(write_pack: Write, load: Load, registry: Registry) -> None:
    write_pack(
        "my pack-v1.2 [beta]+",
        "from .part import NODE_CLASS_MAPPINGS\n",
        part__py=NODE,
    )
    (report,) = load()
    assert report.error is None
    assert str(report.path).replace(".", "_x_") in sys.modules
    assert "Echo" in registry


def test_disabled_packs_and_caches_are_passed_over(write_pack: Write, load: Load) -> None:
    write_pack("old.disabled", NODE)
    write_pack("__pycache__", NODE)
    assert load() == []


def test_a_pack_that_fails_is_reported_with_its_traceback_and_keeps_no_other_from_loading(write_pack: Write, load: Load) -> None:
    write_pack("broken", "import a_module_that_nobody_has\n")
    write_pack("exits", "raise SystemExit(3)\n")
    write_pack("good", NODE)
    reports = {report.name: report for report in load()}
    assert "a_module_that_nobody_has" in str(reports["broken"].error)
    assert "SystemExit" in str(reports["exits"].error)
    assert reports["good"].ok
    assert str(reports["broken"].path) not in sys.modules


def test_a_class_that_can_not_be_described_keeps_no_other_class_from_loading(write_pack: Write, load: Load, registry: Registry) -> None:
    write_pack(
        "half",
        NODE
        + """
    class Bad:
        @classmethod
        def INPUT_TYPES(cls):
            raise RuntimeError("the disk is gone")
    NODE_CLASS_MAPPINGS["Bad"] = Bad
    """,
    )
    (report,) = load()
    assert "the disk is gone" in report.skipped["Bad"]
    assert report.node_ids == ("Echo",)


def test_a_built_in_node_can_not_be_replaced_but_another_packs_can(write_pack: Write, folders: Folders, tmp_path: Path) -> None:
    @node(id="Echo", title="Built in", category="test")
    def echo(image: Image) -> Image:
        return image

    registry = Registry()
    registry.add(node_type(echo))
    write_pack("first.py", NODE + '\n    NODE_CLASS_MAPPINGS["Other"] = Echo\n')
    second = tmp_path / "elsewhere"
    second.mkdir()
    (second / "second.py").write_text(
        "from types import SimpleNamespace\n" + NODE.replace("\n    ", "\n").replace('"Echo":', '"Other":').replace('"echo"', '"second"')
    )
    folders.custom_nodes.append(second)
    reports = load_packs(registry, folders)
    assert reports[0].skipped == {"Echo": "a built-in node has this id"}
    assert registry["Echo"].title == "Built in"
    assert registry["Other"].category == "second"


def test_only_allowed_packs_are_loaded(write_pack: Write, folders: Folders, registry: Registry) -> None:
    write_pack("wanted", NODE)
    write_pack("unwanted", NODE)
    assert [report.name for report in load_packs(registry, folders, allowed=["wanted"])] == ["wanted"]


def test_the_prestartup_script_runs_before_any_pack(write_pack: Write, load: Load, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    write_pack("aaa", f"import pathlib\nassert pathlib.Path({str(note)!r}).read_text() == 'early'\nNODE_CLASS_MAPPINGS = {{}}\n")
    write_pack(
        "zzz", "NODE_CLASS_MAPPINGS = {}\n", prestartup_script__py=f"import pathlib\npathlib.Path({str(note)!r}).write_text('early')\n"
    )
    assert [report.error for report in load()] == [None, None]


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ('WEB_DIRECTORY = "./js"\nNODE_CLASS_MAPPINGS = {}\n', {}),
        ("NODE_CLASS_MAPPINGS = {}\n", {"pyproject__toml": '[tool.comfy]\nweb = "js"\n'}),
    ],
)
def test_a_folder_with_pages_is_recorded(
    source: str, files: dict[str, str], write_pack: Write, registry: Registry, folders: Folders
) -> None:
    place = write_pack("paged", source, **files)
    (place / "js").mkdir()
    installation = Installation(folders, registry)
    (report,) = load_packs(registry, folders, installation=installation)
    assert report.web_directory == place / "js"
    assert installation.web_directories == {"paged": str(place / "js")}


def test_the_version_of_a_node_follows_the_code_of_its_pack(write_pack: Write, load: Load, registry: Registry) -> None:
    place = write_pack("changing", NODE)
    load()
    before = registry["Echo"].version
    (place / "extra.py").write_text("LIMIT = 3\n")
    load()
    assert registry["Echo"].version != before


def test_a_description_that_fails_later_keeps_its_last_form(
    write_pack: Write, load: Load, registry: Registry, tmp_path: Path, folders: Folders
) -> None:
    write_pack(
        "listing",
        f"""
        import os
        class Listing:
            @classmethod
            def INPUT_TYPES(cls):
                return {{"required": {{"file": (sorted(os.listdir({str(tmp_path / "shelf")!r})),)}}}}
            RETURN_TYPES = ()
            FUNCTION = "run"
        NODE_CLASS_MAPPINGS = {{"Listing": Listing}}
        """,
    )
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "a").touch()
    load()
    refresh = registry["Listing"].refresh
    assert refresh is not None
    (shelf / "b").touch()
    assert describe(refresh(), folders)["input"]["required"]["file"] == [["a", "b"]]
    for file in shelf.iterdir():
        file.unlink()
    shelf.rmdir()
    assert describe(refresh(), folders)["input"]["required"]["file"] == [["a"]]
