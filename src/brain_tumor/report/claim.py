"""The Checklist for Artificial Intelligence in Medical Imaging, 2024 update: its 44 items.

Source: Tejani et al., *Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
Update*, Radiology: Artificial Intelligence 6(4), 2024. The numbers are theirs; the words are ours.
"""

from brain_tumor.report.checklist import Item

TITLE = "Checklist: CLAIM 2024"

_TITLE, _INTRO, _DESIGN, _DATA = "Title and abstract", "Introduction", "Study design", "Data"
_REFERENCE, _PARTITION, _MODEL, _TRAIN = "Reference standard", "Partitions", "Model", "Training"
_EVALUATION, _RESULTS, _DISCUSSION, _OTHER = "Evaluation", "Results", "Discussion", "Other"

ITEMS = (
    Item("1", _TITLE, "Name the kind of artificial intelligence", "Title and {summary}"),
    Item("2", _TITLE, "Summarise design, methods, results and conclusions", "{summary}"),
    Item("3", _INTRO, "Background, intended use and role of the method", "{use}; README"),
    Item("4", _INTRO, "Aims and hypotheses", "{use}: what is asked of the model, and of this evaluation"),
    Item("5", _DESIGN, "Prospective or retrospective", "{methods}: retrospective"),
    Item("6", _DESIGN, "Goal of the study", "{use}; {methods}"),
    Item("7", _DATA, "Where the data come from", "{data}"),
    Item("8", _DATA, "What was included and left out, and why", "{data}: files left out by `validate.exclude` and by the checks of stage validate"),
    Item("9", _DATA, "How images are preprocessed", "{methods}"),
    Item("10", _DATA, "Parts of images or of the data that were selected", "{methods}: single slices, cropped to the head"),
    Item("11", _DATA, "How the data were freed of identities", "Not answered: the collection came without names or headers, and its makers do not say how"),
    Item("12", _DATA, "How missing data were handled", "{methods}: an image that cannot be read is an error, and a failed registration falls back to centring"),
    Item("13", _DATA, "How the images were acquired", "Not answered: scanners, sequences and field strengths of the collection are not known"),
    Item("14", _REFERENCE, "How the reference standard was obtained", "{data}: the folder an image lies in; of phantoms, the mass that was drawn"),
    Item("15", _REFERENCE, "Why this reference standard", "{data}: the collection has no other"),
    Item("16", _REFERENCE, "Who annotated, with what qualification", "Not answered: the makers of the collection do not say who labelled it"),
    Item("17", _REFERENCE, "How the test images were annotated", "{data}: as all others; a fixed list of suspect labels was drawn up by eye before any model"),
    Item("18", _REFERENCE, "Agreement within and between annotators", "Not answered: there is one label per image"),
    Item("19", _PARTITION, "How images were assigned to partitions", "{methods}"),
    Item("20", _PARTITION, "At which level partitions are disjoint", "{methods}: clusters of copies and of known patients"),
    Item("21", _PARTITION, "The intended sample size and why", "Not answered: the collection sets the size; the intervals say what that allows"),
    Item("22", _MODEL, "The model in detail, its inputs and outputs", "{methods}; model.json and card.json"),
    Item("23", _MODEL, "Software, with versions", "{lineage}; requirements.txt"),
    Item("24", _MODEL, "Initial values of the weights", "{methods}; {lineage}"),
    Item("25", _TRAIN, "How the model was trained", "{methods}; {training}; {parameters}"),
    Item("26", _TRAIN, "How the final model was chosen", "{training}: by development images alone; {decisions}: what was looked at before"),
    Item("27", _TRAIN, "Whether and how models were combined", "{methods}: none are combined"),
    Item("28", _EVALUATION, "Measures of performance", "{performance}; {calibration}"),
    Item("29", _EVALUATION, "Uncertainty and significance", "{methods}; intervals stand beside the figures of validation and test (the expected calibration error: a simulated floor)"),
    Item("30", _EVALUATION, "Robustness and sensitivity analyses", "{robustness}", ("robustness",)),
    Item("31", _EVALUATION, "How predictions are explained, and whether that was tested", "{explanation}", ("explanation",)),
    Item("32", _EVALUATION, "Evaluation on internal data", "{performance}; {crossvalidation}"),
    Item("33", _EVALUATION, "Test on external data", "{external}", ("external",)),
    Item("34", _EVALUATION, "Trial registration", "Not answered: this is no trial and is not registered"),
    Item("35", _RESULTS, "How many patients or images were in and out", "{data}; patients are counted where data/patients.csv names them"),
    Item("36", _RESULTS, "Demographics and disease in each partition", "Not answered: age, sex, tumour type and grade are not known; {data} has class and format"),
    Item("37", _RESULTS, "Performance on all partitions, with uncertainty", "{performance}"),
    Item("38", _RESULTS, "Diagnostic performance with its precision", "{performance}; {crossvalidation}"),
    Item("39", _RESULTS, "Analysis of wrong results", "{failures}"),
    Item("40", _DISCUSSION, "Limitations", "{use}; {data}"),
    Item("41", _DISCUSSION, "Implications for practice", "{use}: research only, none for practice"),
    Item("42", _OTHER, "Where protocol or further details stand", "docs/; dvc.yaml and params.yaml are the protocol as it is run"),
    Item("43", _OTHER, "Availability of software, model and data", "{lineage}; LICENSE; README: how to fetch the data"),
    Item("44", _OTHER, "Funding and its role", "Not answered: none is declared"),
)  # fmt: skip
