"""dvc.yaml kept honest: packages imported, outputs named and parameters read are declared."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brain_tumor import outputs
from evidence import settings as study

ROOT = Path(__file__).parent.parent
PACKAGE = "src/brain_tumor"


def read(path: str) -> Any:
    return YAML(typ="safe", pure=True).load((ROOT / path).read_text(encoding="utf-8"))


PIPELINE, EVIDENCE = read("dvc.yaml"), read("evidence/dvc.yaml")
STAGES, EVIDENCE_STAGES = list(PIPELINE["stages"]), list(EVIDENCE["stages"])
ALL = PIPELINE["stages"] | EVIDENCE["stages"]
OUTS = ("outs", "metrics", "plots")


@pytest.fixture(scope="module")
def imports() -> Any:
    import grimp

    return grimp.build_graph("brain_tumor", "evidence", cache_dir=None)


def stage_module(stage: str) -> str:
    """The module its command runs: `python -m ....stages.<...>`."""
    python, option, module = ALL[stage]["cmd"].split()[:3]
    assert (python, option) == ("python", "-m")
    return str(module)


def stage_file(stage: str) -> Path:
    return ROOT / file_of(stage_module(stage))


def file_of(module: str) -> str:
    path = f"{module.replace('.', '/')}.py"
    return f"src/{path}" if module.startswith("brain_tumor") else path


def stage_code(stage: str) -> ast.Module:
    return ast.parse(stage_file(stage).read_text(encoding="utf-8"))


def listed(stage: str, *kinds: str) -> list[str]:
    entries = [entry for kind in kinds for entry in ALL[stage].get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def is_code(dep: str) -> bool:
    return dep.startswith(("src/", "evidence/"))


def files_listed(stage: str) -> set[Path]:
    """Deps and outs without code."""
    return {Path(name) for name in listed(stage, "deps", *OUTS) if not is_code(name)}


def sections_listed(stage: str) -> set[tuple[str, str]]:
    """File and section of each parameter a stage depends on."""
    named: list[tuple[str, str]] = []
    for entry in ALL[stage].get("params", []):
        files = entry if isinstance(entry, dict) else {"params.yaml": [entry]}
        named += [(file, name.split(".")[0]) for file, names in files.items() for name in names]
    return set(named)


def test_the_pipeline_is_a_page() -> None:
    assert (ROOT / "dvc.yaml").stat().st_size <= 6 * 1024


def test_the_stages_of_both_pipelines_have_different_names() -> None:
    assert len(ALL) == len(STAGES) + len(EVIDENCE_STAGES)


@pytest.mark.parametrize("stage", ALL)
def test_stages_have_no_options(stage: str) -> None:
    package = "brain_tumor" if stage in STAGES else "evidence"
    assert ALL[stage]["cmd"] == f"python -m {package}.stages.{stage}"


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


def rerun_after(stages: set[str]) -> set[str]:
    """The stages of the product that run when these have: themselves and all behind them."""
    for stage in STAGES:
        made = {Path(out) for other in stages for out in listed(other, *OUTS)}
        deps = [Path(dep) for dep in listed(stage, "deps")]
        if any(dep == out or dep in out.parents for out in made for dep in deps):
            stages = stages | {stage}
    return stages


def test_another_threshold_trains_nothing_anew() -> None:
    changed = {stage for stage in STAGES if ("params.yaml", "calibrate") in sections_listed(stage)}
    assert rerun_after(changed) == {"calibrate", "evaluate", "export", "report", "register"}


def test_what_comes_after_training_trains_nothing_anew() -> None:
    before = {"validate", "split", "preprocess", "augment", "backbone", "tune", "train"}
    packages = {dep for stage in before for dep in listed(stage, "deps") if dep.startswith("src/")}
    used = {dep.removeprefix(f"{PACKAGE}/").partition("/")[0] for dep in packages}
    assert not used & {"report", "registry", "inference", "serving", "cli", "ci", "evidence"}


@pytest.mark.parametrize("stage", ALL)
def test_code_deps_are_the_packages_the_stage_imports(stage: str, imports: Any) -> None:
    declared = {dep for dep in listed(stage, "deps") if is_code(dep)}
    if PACKAGE in declared:  # the whole package travels with the registered model
        return
    modules = imports.find_upstream_modules(stage_module(stage))
    study = {file_of(name) for name in modules if name.startswith("evidence.")}
    product = {name for name in modules if name.startswith("brain_tumor.")}
    packages = {".".join(name.split(".")[:2]) for name in product} - {"brain_tumor.stages"}
    folders = {name for name in packages if imports.find_children(name)}  # else a root file
    needed = {f"src/{name.replace('.', '/')}" for name in folders}
    assert declared == {file_of(stage_module(stage)), *study, *needed}


def names_of_outputs(code: ast.Module) -> dict[str, Any]:
    """The attributes of `outputs` and `study` that a stage uses: name to what it stands for."""
    modules = {"outputs": outputs, "study": study}
    return {
        node.attr: getattr(modules[node.value.id], node.attr)
        for node in ast.walk(code)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
    }


def paths_of(what: Any) -> Iterator[Path]:
    """What an attribute of `outputs` stands for: a path, or those a function or class goes by."""
    if isinstance(what, Path):
        yield what
    elif is_dataclass(what):
        yield from (field.default for field in fields(what) if isinstance(field.default, Path))
    elif isinstance(what, type) and issubclass(what, outputs.Artefact):
        yield what.path
    elif callable(what):
        defaults = [one.default for one in inspect.signature(what).parameters.values()]
        yield from (default for default in defaults if isinstance(default, Path))


def covered(path: Path, others: set[Path]) -> bool:
    """Whether a path is one of others, lies in one, or is a folder one lies in."""
    return any(path == one or one in path.parents or path in one.parents for one in others)


@pytest.mark.parametrize("stage", ALL)
def test_deps_and_outs_are_the_outputs_the_stage_names(stage: str) -> None:
    names = names_of_outputs(stage_code(stage))
    used = {path for what in names.values() for path in paths_of(what)}
    used -= {Path("params.yaml"), study.PARAMS}
    if stage in EVIDENCE_STAGES:  # stage report reads them: no outputs, or it would run all this
        used -= {study.SUMMARY, study.LOCALISATION, study.ROBUSTNESS}
    declared = files_listed(stage)
    assert {path for path in used if not covered(path, declared)} == set()
    assert {path for path in declared if not covered(path, used)} == set()
    reads = [what for name, what in names.items() if name.startswith("read_")]
    read_only = {path for what in reads for path in paths_of(what)}
    assert read_only <= {Path(dep) for dep in listed(stage, "deps")}


def test_every_output_is_made_by_a_stage() -> None:
    made = {Path(out) for stage in ALL for out in listed(stage, *OUTS)}
    modules = vars(outputs) | vars(study)
    paths = {path for path in modules.values() if isinstance(path, Path)}
    ours = {path for path in paths if outputs.OUTPUTS in path.parents}
    assert {path for path in ours if not covered(path, made)} == set()


def sections_read(code: ast.Module) -> Iterator[tuple[str, str]]:
    """File and section of what `settings.read()` and `study.read()` give, under a name or not."""
    whole = {"settings.read()": "params.yaml", "study.read()": "evidence/params.yaml"}
    for node in ast.walk(code):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in whole:
            whole[ast.unparse(node.targets[0])] = whole[ast.unparse(node.value)]
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in whole:
            yield whole[ast.unparse(node.value)], node.attr


@pytest.mark.parametrize("stage", ALL)
def test_params_are_the_sections_the_stage_reads(stage: str) -> None:
    assert set(sections_read(stage_code(stage))) == sections_listed(stage)


def test_every_section_of_params_is_read_by_a_stage_or_a_data_command() -> None:
    used = {name for stage in STAGES for file, name in sections_listed(stage)}
    assert set(read("params.yaml")) == used | {"drift"}


def test_every_section_of_the_evidence_is_read_by_one_of_its_stages() -> None:
    listings = [one for stage in EVIDENCE_STAGES for one in sections_listed(stage)]
    used = {name for file, name in listings if file == "evidence/params.yaml"}
    assert set(read("evidence/params.yaml")) == used


@pytest.mark.parametrize("file", ["params.yaml", "evidence/params.yaml"])
def test_every_number_of_params_is_explained(file: str) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        is_value = line.startswith("  ") and line[2].isalpha() and not line.endswith(":")
        if is_value:
            assert "#" in line or above.startswith("  #"), line
