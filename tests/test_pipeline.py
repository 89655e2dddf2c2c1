"""dvc.yaml kept honest: a stage depends on the modules it imports and the parameters it reads."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


def read(path: str) -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / path).read_text(encoding="utf-8"))


PIPELINE, EVIDENCE = read("dvc.yaml"), read("evidence/dvc.yaml")
STAGES, EVIDENCE_STAGES = list(PIPELINE["stages"]), list(EVIDENCE["stages"])
ALL = PIPELINE["stages"] | EVIDENCE["stages"]
CODE_OF_REGISTERED_MODEL = "src/brain_tumor"
OUTS = ("outs", "metrics", "plots")


@pytest.fixture(scope="module")
def imports() -> Any:
    import grimp

    return grimp.build_graph("brain_tumor", cache_dir=None)


def module_file(module: str) -> Path:
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def stage_module(stage: str) -> str:
    """The module its command runs: `python -m brain_tumor.stages.<...>`."""
    python, option, module = ALL[stage]["cmd"].split()[:3]
    assert (python, option) == ("python", "-m")
    return str(module)


def stage_file(stage: str) -> Path:
    return module_file(stage_module(stage))


def listed(stage: str, kind: str) -> list[str]:
    entries = ALL[stage].get(kind, [])
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def sections_listed(stage: str) -> set[tuple[str, str]]:
    """File and section of each parameter a stage depends on."""
    named: list[tuple[str, str]] = []
    for entry in ALL[stage].get("params", []):
        files = entry if isinstance(entry, dict) else {"params.yaml": [entry]}
        named += [(file, name.split(".")[0]) for file, names in files.items() for name in names]
    return set(named)


def test_the_stages_of_both_pipelines_have_different_names() -> None:
    assert len(ALL) == len(STAGES) + len(EVIDENCE_STAGES)


@pytest.mark.parametrize("stage", EVIDENCE_STAGES)
def test_stages_of_the_evidence_run_at_the_top_of_the_repository(stage: str) -> None:
    assert ALL[stage]["wdir"] == ".."


def test_the_product_reads_no_output_of_the_evidence_or_it_would_run_it() -> None:
    read_by_product = {Path(dep) for stage in STAGES for dep in listed(stage, "deps")}
    made = {Path(out) for stage in EVIDENCE_STAGES for out in listed(stage, "outs")}
    for dep in read_by_product:
        assert not [out for out in made if dep == out or dep in out.parents or out in dep.parents]


def test_stages_stand_in_the_order_of_the_data() -> None:
    assert STAGES == [
        "validate",
        "split",
        "preprocess",
        "augment",
        "backbone",
        "tune",
        "train",
        "calibrate",
        "evaluate",
        "export",
        "report",
        "register",
    ]


def test_another_threshold_trains_nothing_anew() -> None:
    rerun = {stage for stage in STAGES if ("params.yaml", "calibrate") in sections_listed(stage)}
    for stage in STAGES:
        made = [out for one in rerun for kind in OUTS for out in listed(one, kind)]
        deps = [Path(dep) for dep in listed(stage, "deps")]
        if any(Path(out) == dep or dep in Path(out).parents for out in made for dep in deps):
            rerun.add(stage)
    assert rerun == {"calibrate", "evaluate", "export", "report", "register"}


@pytest.mark.parametrize("stage", ALL)
def test_code_deps_are_the_modules_the_stage_imports(stage: str, imports: Any) -> None:
    module = stage_module(stage)
    needed = {module, *imports.find_upstream_modules(module)}
    files = {module_file(name).relative_to(ROOT).as_posix() for name in needed}
    files = {path for path in files if not path.endswith("__init__.py")}
    declared = {dep for dep in listed(stage, "deps") if dep.startswith("src/")}
    if CODE_OF_REGISTERED_MODEL in declared:  # the whole package travels with the model
        return
    lines = "\n".join(f"      - {path}" for path in sorted(files))
    assert declared == files, f"deps of {stage} in dvc.yaml should be:\n{lines}"


PARAMS_FILES = {"params": "params.yaml", "evidence": "evidence/params.yaml"}  # by option


def sections_read(tree: ast.AST) -> set[tuple[str, str]]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        (PARAMS_FILES[ast.unparse(call.args[0])], str(call.args[1].value))
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "load"
        and len(call.args) == 3
        and isinstance(call.args[1], ast.Constant)
    }


@pytest.mark.parametrize("stage", ALL)
def test_params_are_the_sections_the_stage_reads(stage: str) -> None:
    tree = ast.parse(stage_file(stage).read_text(encoding="utf-8"))
    assert sections_read(tree) == sections_listed(stage)


@pytest.mark.parametrize("stage", ALL)
def test_paths_of_the_command_are_declared(stage: str) -> None:
    words = ALL[stage]["cmd"].split()
    paths = {word for word in words if word == "data" or word.startswith(("outputs/", "docs/"))}
    declared = {path for kind in ("deps", *OUTS) for path in listed(stage, kind)}
    assert all(any(related(path, other) for other in declared) for path in paths)
    artefacts = {dep for dep in listed(stage, "deps") if not dep.startswith("src/")}
    if "read_meta" in stage_file(stage).read_text(encoding="utf-8"):
        artefacts.discard("data")  # stands for data.dvc, which no option names
    assert all(any(related(dep, path) for path in paths) for dep in artefacts)


def related(one: str, other: str) -> bool:
    """Whether the paths are the same, or one is a folder the other lies in, or a model's files."""
    a, b = Path(one), Path(other)
    return a == b or a in b.parents or b in a.parents or (a.parent == b.parent != Path("outputs"))


def test_every_section_of_params_is_read_by_a_stage_or_a_data_command() -> None:
    used = {name for stage in STAGES for file, name in sections_listed(stage)}
    assert set(read("params.yaml")) == used | {"phantom", "drift"}


def test_every_section_of_the_evidence_is_read_by_one_of_its_stages() -> None:
    listings = [one for stage in EVIDENCE_STAGES for one in sections_listed(stage)]
    used = {name for file, name in listings if file == "evidence/params.yaml"}
    assert set(read("evidence/params.yaml")) == used


@pytest.mark.parametrize("file", PARAMS_FILES.values())
def test_every_number_of_params_is_explained(file: str) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        is_value = line.startswith("  ") and line[2].isalpha() and not line.endswith(":")
        if is_value:
            assert "#" in line or above.startswith("  #"), line
