"""dvc.yaml kept honest: a stage depends on the modules it imports and the parameters it reads."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PIPELINE = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = list(PIPELINE["stages"])
CODE_OF_REGISTERED_MODEL = "src/brain_tumor"


@pytest.fixture(scope="module")
def imports() -> Any:
    import grimp

    return grimp.build_graph("brain_tumor", cache_dir=None)


def module_file(module: str) -> Path:
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def stage_file(stage: str) -> Path:
    return SOURCE / "brain_tumor" / "stages" / f"{stage}.py"


def listed(stage: str, kind: str) -> list[str]:
    entries = PIPELINE["stages"][stage].get(kind, [])
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def test_stages_stand_in_the_order_of_the_data() -> None:
    assert STAGES == [
        "validate",
        "split",
        "preprocess",
        "augment",
        "backbone",
        "tune",
        "train",
        "evaluate",
        "export",
        "register",
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_modules_the_stage_imports(stage: str, imports: Any) -> None:
    module = f"brain_tumor.stages.{stage}"
    needed = {module, *imports.find_upstream_modules(module)}
    files = {module_file(name).relative_to(ROOT).as_posix() for name in needed}
    files = {path for path in files if not path.endswith("__init__.py")}
    declared = {dep for dep in listed(stage, "deps") if dep.startswith("src/")}
    if CODE_OF_REGISTERED_MODEL in declared:  # the whole package travels with the model
        return
    lines = "\n".join(f"      - {path}" for path in sorted(files))
    assert declared == files, f"deps of {stage} in dvc.yaml should be:\n{lines}"


def sections_read(tree: ast.AST) -> set[str]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        str(call.args[1].value)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "load"
        and len(call.args) == 3
        and isinstance(call.args[1], ast.Constant)
    }


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_the_sections_the_stage_reads(stage: str) -> None:
    tree = ast.parse(stage_file(stage).read_text(encoding="utf-8"))
    assert sections_read(tree) == {name.split(".")[0] for name in listed(stage, "params")}


@pytest.mark.parametrize("stage", STAGES)
def test_paths_of_the_command_are_declared(stage: str) -> None:
    words = PIPELINE["stages"][stage]["cmd"].split()
    paths = {word for word in words if word == "data" or word.startswith("outputs/")}
    declared = {
        path for kind in ("deps", "outs", "metrics", "plots") for path in listed(stage, kind)
    }
    assert all(any(related(path, other) for other in declared) for path in paths)
    artefacts = {dep for dep in listed(stage, "deps") if not dep.startswith("src/")}
    assert all(any(related(dep, path) for path in paths) for dep in artefacts)


def related(one: str, other: str) -> bool:
    """Whether the paths are the same, or one is a folder the other lies in, or a model's files."""
    a, b = Path(one), Path(other)
    return a == b or a in b.parents or b in a.parents or (a.parent == b.parent != Path("outputs"))


def test_every_section_of_params_is_read_by_a_stage_or_a_data_command() -> None:
    params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    read = {name.split(".")[0] for stage in STAGES for name in listed(stage, "params")}
    assert set(params) == read | {"phantom", "drift"}


def test_every_number_of_params_is_explained() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        is_value = line.startswith("  ") and line[2].isalpha() and not line.endswith(":")
        if is_value:
            assert "#" in line or above.startswith("  #"), line
