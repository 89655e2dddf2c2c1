"""A registered model asks for what its code imports, and for nothing the pipeline alone needs."""

import sys
from importlib.metadata import packages_distributions

import grimp

from brain_tumor.registry.requirements import inference_requirements

# Imported inside functions that prediction never calls: building the atlas, scoring, progress.
_NOT_FOR_PREDICTION = {"nilearn", "sklearn", "matplotlib", "rich"}
_COME_WITH_OTHERS = {"pydantic_core"}  # pydantic pins its version


def test_every_import_of_the_classifier_is_required() -> None:
    graph = grimp.build_graph("brain_tumor", include_external_packages=True)
    ours = graph.find_upstream_modules("brain_tumor.inference.classifier")
    needed = {
        imported
        for module in [*ours, "brain_tumor.inference.classifier"]
        if module.startswith("brain_tumor")
        for imported in graph.find_modules_directly_imported_by(module)
        if not imported.startswith("brain_tumor") and imported not in sys.stdlib_module_names
    }
    distributions = packages_distributions()
    required = {item.partition("==")[0].lower() for item in inference_requirements()}
    for package in needed - _NOT_FOR_PREDICTION - _COME_WITH_OTHERS:
        names = {name.lower() for name in distributions.get(package, [package])}
        assert names & required, f"{package} is imported but not among {sorted(required)}"


def test_requirements_are_pinned_and_few() -> None:
    required = inference_requirements()
    assert all("==" in item for item in required)
    names = {item.partition("==")[0] for item in required}
    assert not names & {"dvc", "optuna", "great-expectations", "nilearn", "matplotlib"}
