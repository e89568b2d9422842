"""The names that packs import, and what they do."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marquetry.custom_nodes.host import PackReport, load_packs
from marquetry.custom_nodes.installation import Installation
from marquetry.engine.context import Context, Services
from marquetry.engine.expansion import Call, current_call, current_context
from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry

Load = Callable[[], list[PackReport]]
Write = Callable[..., Path]

IMPORTS = """
    import comfy
    import comfy.utils
    import comfy.model_management
    import comfy.samplers
    import folder_paths
    import nodes
    import server
    import execution
    import latent_preview
    import node_helpers
    from comfy.cli_args import args
    from comfy.comfy_types import IO, ComfyNodeABC, InputTypeDict
    from comfy.comfy_types.node_typing import ComfyNodeABC as Same
    from comfy_api.latest import ComfyAPI as Latest
    from comfy_api.v0_0_2 import ComfyAPI, ComfyAPISync
    from comfy_execution.graph import ExecutionBlocker
    from comfy_execution.graph_utils import GraphBuilder, Node, is_link
    from comfy_execution.utils import get_executing_context
    from server import PromptServer
    assert Same is ComfyNodeABC
    api, api_sync = ComfyAPI(), ComfyAPISync()
    NODE_CLASS_MAPPINGS = {}
"""


@pytest.fixture
def pack(write_pack: Write, load: Load) -> Callable[[str], dict[str, Any]]:
    """Run code as a pack would; its names come back."""

    def run(source: str) -> dict[str, Any]:
        import sys

        write_pack("asks", IMPORTS + source)
        (report,) = load()
        assert report.error is None, report.error
        return vars(sys.modules[str(report.path).replace(".", "_x_")])

    return run


def test_type_names_match_by_their_parts_and_any_matches_all(pack: Callable[[str], dict[str, Any]]) -> None:
    names = pack("")
    IO = names["IO"]
    assert IO.ANY == "*" and str(IO.IMAGE) == "IMAGE"
    assert not operator.ne(IO.ANY, "MODEL") and not operator.ne(IO.IMAGE, "*")
    assert not operator.ne(IO.NUMBER, "INT")
    assert IO.IMAGE != "MASK"


def test_builders_number_their_graphs_within_the_running_call(pack: Callable[[str], dict[str, Any]]) -> None:
    names = pack("")
    token = current_call.set(Call("7", 2))
    try:
        first, second = names["GraphBuilder"](), names["GraphBuilder"]()
    finally:
        current_call.reset(token)
    image = first.node("LoadImage", image="a.png")
    save = first.node("SaveImage", "save", images=image.out(0))
    assert (image.id, save.id, second.prefix) == ("7.2.0.1", "7.2.0.save", "7.2.1.")
    assert first.node("Other", "save") is save
    assert first.lookup_node("save") is save
    finished = first.finalize()
    save.inputs["filename_prefix"] = "late"
    assert finished["7.2.0.save"] == {"class_type": "SaveImage", "inputs": {"images": ["7.2.0.1", 0], "filename_prefix": "late"}}
    first.replace_node_output("1", 0, None)
    assert save.get_input("images") is None
    save.set_override_display_id("7")
    first.remove_node("1")
    assert first.finalize()["7.2.0.save"]["override_display_id"] == "7"
    assert list(first.finalize()) == ["7.2.0.save"]


class Heard:
    def __init__(self) -> None:
        self.steps: list[Any] = []

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None:
        self.steps.append((node_id, value, total, None if preview is None else preview.size))

    def text(self, node_id: str, text: str) -> None:
        self.steps.append((node_id, text))


async def test_progress_reaches_the_running_node_and_stops_a_cancelled_one(pack: Callable[[str], dict[str, Any]], folders: Folders) -> None:
    import torch

    names = pack("")
    heard, state = Heard(), {"cancelled": False}
    context = Context(Services(folders), node_id="3", reporter=heard, cancelled=lambda: state["cancelled"])
    token = current_context.set(context)
    try:
        bar = names["comfy"].utils.ProgressBar(4)
        bar.update(1)
        bar.update(9)
        bar.update_absolute(2, 5)
        await names["api"].execution.set_progress(1, 2, preview_image=torch.zeros(1, 8, 16, 3))
        names["api_sync"].execution.set_progress(2, 2, node_id="9")
        names["PromptServer"].instance.send_progress_text("hello", "3")
        assert heard.steps == [
            ("3", 1, 4, None), ("3", 4, 4, None), ("3", 2, 5, None), ("3", 1, 2, (16, 8)), ("9", 2, 2, None), ("3", "hello"),
        ]  # fmt: skip
        state["cancelled"] = True
        stop = names["comfy"].model_management.InterruptProcessingException
        with pytest.raises(stop):
            bar.update(1)
        with pytest.raises(stop):
            names["comfy"].model_management.throw_exception_if_processing_interrupted()
    finally:
        current_context.reset(token)


def test_folders_that_a_pack_adds_are_the_engines_too(pack: Callable[[str], dict[str, Any]], folders: Folders, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    for file in ("extra.safetensors", "mine.xyz"):
        (more / file).touch()
    names = pack(f"""
    folder_paths.add_model_folder_path("loras", {str(more)!r}, is_default=True)
    folder_paths.folder_names_and_paths["sams"] = ([{str(more)!r}], {{".xyz"}})
    folder_paths.folder_names_and_paths["vae"][0].append({str(more)!r})
    """)
    paths = names["folder_paths"]
    assert folders.list_files("loras") == ("extra.safetensors",)
    assert folders.model_folders("loras")[0] == more
    assert folders.list_files("sams") == ("mine.xyz",)
    assert more in folders.model_folders("vae")
    assert paths.get_filename_list("sams") == ["mine.xyz"]
    assert paths.get_full_path("loras", "extra.safetensors") == str(more / "extra.safetensors")
    assert paths.get_full_path("nothing", "a") is None
    assert paths.get_folder_paths("unet") == paths.get_folder_paths("diffusion_models")
    assert Path(paths.__file__).parent == folders.data
    with pytest.raises(FileNotFoundError):
        paths.get_full_path_or_raise("loras", "absent")


def test_saved_files_are_numbered_on_and_stay_in_their_folder(pack: Callable[[str], dict[str, Any]], folders: Folders) -> None:
    paths = pack("")["folder_paths"]
    folder, name, counter, subfolder, _ = paths.get_save_image_path("set/img_%width%", paths.get_output_directory(), 64, 32)
    assert (name, counter, subfolder) == ("img_64", 1, "set")
    (Path(folder) / "img_64_00007_.png").touch()
    (Path(folder) / "img_640_00099_.png").touch()
    assert paths.get_save_image_path("set/img_64", paths.get_output_directory())[2] == 8
    with pytest.raises(Exception, match="leads out"):
        paths.get_save_image_path("../../x", paths.get_output_directory())


def test_samplers_that_a_pack_adds_are_offered_by_the_engine(pack: Callable[[str], dict[str, Any]]) -> None:
    from marquetry.engine.sampling.names import SCHEDULE_NAMES

    names = pack("    comfy.samplers.KSampler.SCHEDULERS.append('my_schedule')\n")
    try:
        assert "my_schedule" in SCHEDULE_NAMES
        assert "euler" in names["comfy"].samplers.SAMPLER_NAMES
    finally:
        SCHEDULE_NAMES.remove("my_schedule")


def test_messages_of_packs_go_out_through_the_installation(write_pack: Write, registry: Registry, folders: Folders) -> None:
    sent: list[Any] = []
    write_pack("speaks", IMPORTS + "    PromptServer.instance.send_sync('hello', {'a': 1}, 'me')\n")
    installation = Installation(folders, registry, send=lambda event, data, client: sent.append((event, data, client)))
    (report,) = load_packs(registry, folders, installation=installation)
    assert report.ok
    assert sent == [("hello", {"a": 1}, "me")]


def test_flags_have_the_servers_values(write_pack: Write, registry: Registry, folders: Folders) -> None:
    write_pack("flags", IMPORTS + "    assert (args.port, args.disable_metadata, args.preview_method.value) == (9000, False, 'taesd')\n")
    installation = Installation(folders, registry, options={"port": 9000, "preview_method": "taesd"})
    (report,) = load_packs(registry, folders, installation=installation)
    assert report.ok, report.error


def test_a_pack_can_look_up_other_nodes_and_call_them(write_pack: Write, registry: Registry, folders: Folders) -> None:
    from marquetry.engine.declare import node, node_type

    @node(id="Twice", title="Twice", category="math")
    def twice(value: int = 1) -> int:
        return value * 2

    registry.add(node_type(twice))
    write_pack(
        "calls",
        IMPORTS
        + """
    Twice = nodes.NODE_CLASS_MAPPINGS["Twice"]
    assert Twice.INPUT_TYPES()["required"]["value"][0] == "INT"
    assert getattr(Twice(), Twice.FUNCTION)(value=4) == (8,)
    assert "Twice" in nodes.NODE_CLASS_MAPPINGS and nodes.MAX_RESOLUTION == 16384
    """,
    )
    (report,) = load_packs(registry, folders)
    assert report.ok, report.error


def test_questions_about_the_device_have_answers_on_a_processor(write_pack: Write, registry: Registry, folders: Folders) -> None:
    write_pack(
        "asks",
        IMPORTS
        + """
    import torch
    management = comfy.model_management
    processor = torch.device("cpu")
    assert management.get_torch_device() == management.intermediate_device() == management.unet_offload_device() == processor
    assert management.is_device_cpu(processor) and management.cpu_mode() and not management.is_nvidia()
    assert management.unet_dtype() == management.vae_dtype() == management.text_encoder_dtype() == torch.float32
    assert management.unet_manual_cast(torch.float32, processor) is None
    assert not management.should_use_fp16() and not management.should_use_bf16() and not management.xformers_enabled()
    assert 0 < management.get_free_memory() <= management.get_total_memory()
    assert management.vram_state is management.VRAMState.DISABLED and management.cpu_state is management.CPUState.CPU
    assert issubclass(management.OOM_EXCEPTION, Exception)
    assert management.module_size(torch.nn.Linear(3, 2, bias=False)) == 24
    management.soft_empty_cache()
    management.unload_all_models()
    assert not management.processing_interrupted()
    assert not hasattr(management, "a_name_that_nobody_has")
    """,
    )
    (report,) = load_packs(registry, folders, installation=Installation(folders, registry, device="cpu"))
    assert report.ok, report.error


def test_tools_over_tensors_and_weight_files(pack: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    import torch

    names = pack("")
    tools = names["comfy"].utils
    assert tools.common_upscale(torch.zeros(1, 3, 8, 16), 4, 4, "bilinear", "center").shape == (1, 3, 4, 4)
    assert tools.repeat_to_batch_size(torch.arange(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert tools.repeat_to_batch_size(torch.arange(3), 2).tolist() == [0, 1]
    tools.save_torch_file({"a.w": torch.ones(2)}, str(tmp_path / "w.safetensors"), metadata={"k": "v"})
    weights, metadata = tools.load_torch_file(str(tmp_path / "w.safetensors"), return_metadata=True)
    assert (weights["a.w"].tolist(), metadata) == ([1.0, 1.0], {"k": "v"})
    assert list(tools.state_dict_prefix_replace(weights, {"a.": "b."})) == ["b.w"]
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2))
    before = tools.set_attr_param(layer, "0.weight", torch.zeros(2, 2))
    assert tools.get_attr(layer, "0.weight").sum() == 0 and before.shape == (2, 2)
    assert tools.get_tiled_scale_steps(1024, 512, 512, 512, 0) == 2
    helpers = names["node_helpers"]
    assert helpers.conditioning_set_values([["e", {"a": 1}]], {"b": 2}) == [["e", {"a": 1, "b": 2}]]
