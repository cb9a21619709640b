"""The pages say what is so: code blocks run, links lead somewhere, what is named exists, tables are the code's own."""

import ast
import importlib.util
import json
import re
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stale_diffusion import scene
from stale_diffusion.formats.notes import notes
from stale_diffusion.recipe import Recipe
from stale_diffusion.senses.taste import TASTES
from stale_diffusion.streams import STREAMS
from stale_diffusion.timeline import RANGES, Track, to_json
from stale_diffusion.training.config import Config, Data, Model, Train, load_config
from stale_diffusion.training.data import JOBS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/stale_diffusion"
MODEL = SOURCE / "weights/default.safetensors"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMED = [ROOT / "docs/paper.md", ROOT / "docs/method.md"]
CLIP = ROOT / "tests/data/sea_island_05.mp4"


def name(path: Path) -> str:
    return path.name


def blocks(page: Path) -> list[str]:
    """The Python of a page that is marked to be run, in order."""
    return re.findall(r"^```python run\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def slug(heading: str) -> str:
    """A heading as the anchor that GitHub makes of it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=name)
def test_what_is_marked_to_run_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(blocks(page))
    if "load()" in code and not MODEL.is_file():
        pytest.fail(f"{MODEL.relative_to(ROOT)} is missing: {page.name} loads the model that ships")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday.mp4").write_bytes(CLIP.read_bytes())
    torch.set_num_threads(1)
    exec(compile(code, str(page), "exec"), {"__name__": "page"})


def test_some_page_has_something_to_run() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_link_is_dead(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            dead.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            dead += [link] if anchor not in map(slug, headings) else []
    assert dead == []


def definitions(path: Path) -> set[str]:
    """What a module defines, methods and fields as Class.name."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        body = [node]
        prefix = ""
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            body, prefix = node.body, f"{node.name}."
        for item in body:
            if isinstance(item, ast.FunctionDef):
                found.add(prefix + item.name)
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                found.add(prefix + item.target.id)
            elif isinstance(item, ast.Assign):
                found |= {prefix + t.id for target in item.targets for t in ast.walk(target) if isinstance(t, ast.Name)}
    return found


def exists(term: str) -> bool:
    """Whether a path, a module, a function `module.name` or a test named in a page is there."""
    if re.fullmatch(r"[\w./-]+\.(py|md|toml|csv|json|safetensors)", term) and "/" in term:
        return any((base / term).exists() for base in (ROOT, SOURCE))
    if re.fullmatch(r"test_\w+", term):
        return any(f"def {term}(" in path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    parts = term.split(".")
    for n in range(len(parts), 0, -1):
        module = SOURCE.joinpath(*parts[:n])
        rest = ".".join(parts[n:])
        path = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__init__.py"
        if path.is_file():
            return not rest or rest in definitions(path)
    return False


def is_name(term: str) -> bool:
    """Whether a term in a page's backticks claims to be in this repository."""
    top = {p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    is_path = "/" in term and re.fullmatch(r"[\w./-]+\.(py|md|toml|csv|json|safetensors)", term)
    dotted = re.fullmatch(r"[a-z_]+(\.\w+)+", term) and term.split(".")[0] in top and term.split(".")[-1] != "json"
    return bool(is_path or dotted or re.fullmatch(r"test_\w+", term))


@pytest.mark.parametrize("page", NAMED, ids=name)
def test_what_is_named_exists(page: Path) -> None:
    terms = [t for t in re.findall(r"`([^`\n]+)`", page.read_text("utf-8")) if is_name(t)]
    assert len(terms) > 20
    assert [t for t in terms if not exists(t)] == []


def test_a_name_that_is_not_there_would_be_noticed() -> None:
    assert exists("channel.corrupt")
    assert exists("recipe.Recipe.plot")
    assert not exists("channel.uncorrupt")
    assert not exists("tests/test_nothing.py")
    assert not exists("test_that_nobody_wrote")


def test_cli_reference_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("cli_reference", ROOT / "tools/cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.TARGET.read_text("utf-8") == tool.reference(), "run: python tools/cli_reference.py"


def test_files_page_has_the_tables_of_the_code() -> None:
    page = (ROOT / "docs/files.md").read_text("utf-8")
    rows = {tuple(c.strip(" `") for c in line.strip("|").split("|")) for line in page.splitlines() if line[:1] == "|"}
    assert {(n.name, n.scent) for n in notes().values()} <= {row[:2] for row in rows}
    assert {(s.name, str(s.tokens), str(s.bits)) for s in STREAMS} <= {row[:3] for row in rows}
    ranges = {(c, f"{low:g}", f"{high:g}") for c, (low, high, _) in RANGES.items() if c not in notes()}
    assert ranges <= {row[:3] for row in rows}
    assert set(TASTES) <= {row[0] for row in rows}
    for words in (scene.PLACES, scene.CURVES, scene.EVENTS):
        assert ", ".join(words) in " ".join(page.split())
    statics = {(field, str(bits)) for token in scene.STATICS for field, bits in token}
    assert statics <= {row[1:3] for row in rows}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is what a JSON schema says; the few keywords that the page uses, and no others."""
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "number": (int, float),
        "integer": int,
        "boolean": bool,
    }
    kinds["null"] = type(None)
    named = schema.get("type", list(kinds))
    if not any(isinstance(value, kinds[kind]) for kind in ([named] if isinstance(named, str) else named)):
        return False
    if ("const" in schema and value != schema["const"]) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, int | float):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        each = schema.get("prefixItems", [schema.get("items", {})] * len(value))
        return len(each) == len(value) and all(map(fits, value, each))
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        rest = [(value[key], known.get(key, other)) for key in value]
        return set(schema.get("required", [])) <= value.keys() and all(s is not False and fits(v, s) for v, s in rest)
    return re.search(schema.get("pattern", ""), value) is not None if isinstance(value, str) else True


def test_what_is_written_fits_the_schemas_of_the_files_page() -> None:
    page = (ROOT / "docs/files.md").read_text("utf-8")
    found = [json.loads(b) for b in re.findall(r"^```json schema\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    schemas = {schema["title"]: schema for schema in found}
    assert list(schemas["recipe.json"]["properties"]) == ["format", "version", *(f.name for f in fields(Recipe))]
    made = json.loads(Recipe("rain", 7, senses={"smell": "generated"}, cost_dollars=0.1).to_json())
    assert fits(made, schemas["recipe.json"])
    assert not fits(made | {"plot": 3}, schemas["recipe.json"])
    track = Track("taste", Fraction(2), TASTES, "intensity", np.eye(8, 5, dtype=np.float32), "given")
    written = json.loads(to_json(4.0, {"taste": track}))
    assert fits(written, schemas["timeline.json"])
    written["tracks"][0]["channels"][0]["keyframes"][0] = ["soon", 1]
    assert not fits(written, schemas["timeline.json"])


def test_train_page_has_the_defaults_of_the_config(tmp_path: Path) -> None:
    page = (ROOT / "docs/train.md").read_text("utf-8")
    path = tmp_path / "defaults.toml"
    path.write_text(re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0], "utf-8")
    assert load_config(path) == Config("defaults", Data(), Model(), Train())
    assert set(Train().mix) == set(JOBS) == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    keys = {key for cls in (Data, Model, Train) for key in (f.name for f in fields(cls))}
    assert keys <= set(re.findall(r"^(\w+) =", path.read_text("utf-8"), re.MULTILINE))
