"""Imports run one way, av is imported in one module, and the command line answers at once."""

import ast
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src/stale_diffusion"
# A module may import what stands in its own layer or below, never above.
LAYERS = (
    {"errors", "version", "machine", "jsonio"},
    {"channel", "hinge", "sample"},
    {"senses", "scene", "streams", "joins", "splice"},
    {"model"},
    {"timeline", "screenplay", "recipe", "media", "movie", "formats", "inspecting", "edit", "show"},
    {"dreamscapes", "clips", "screens", "drafts"},
    {"guidance"},
    {"training", "generate", "inputs", "redo", "candidates", "restoring", "trust", "looping", "alone"},
    {"doctoring", "resume", "console", "forecast"},
    {"player"},
    {"commands"},
    {"cli", "__main__"},
)
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
ALLOWED = {("training", "console")}  # a training says how it goes


def imports(path: Path) -> list[str]:
    """Top-level imports of the package, outside TYPE_CHECKING; those inside functions are late on purpose."""
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found += (
                [node.module] if node.module != "stale_diffusion" else [f"{node.module}.{a.name}" for a in node.names]
            )
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names]
    return found


def test_imports_run_one_way() -> None:
    wrong = []
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for module in imports(path):
            parts = module.split(".")
            if parts[0] != "stale_diffusion" or len(parts) < 2 or own == "__init__":
                continue
            if LEVEL[parts[1]] > LEVEL[own] and (own, parts[1]) not in ALLOWED:
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
    assert wrong == []


def test_only_one_module_imports_av() -> None:
    users = {p.name for p in SOURCE.rglob("*.py") if any(m.split(".")[0] == "av" for m in imports(p))}
    assert users <= {"media.py"} | {p.name for p in (SOURCE / "media").glob("*.py")}


def test_the_method_and_the_command_line_import_neither_av_nor_what_they_do_not_need() -> None:
    code = (
        "import sys; import stale_diffusion.channel, stale_diffusion.hinge, stale_diffusion.sample; "
        "assert not {'av', 'typer', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys; import stale_diffusion.cli; assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
