"""TRIPOD+AI: its 27 items, 52 with their letters.

Source: Collins et al., *TRIPOD+AI statement: updated guidance for reporting clinical prediction
models that use regression or machine learning methods*, BMJ 385:e078378, 2024. The numbers are
theirs; the words are ours.
"""

from brain_tumor.report.checklist import Item

TITLE = "Checklist: TRIPOD+AI"

_TITLE, _INTRO, _DATA, _SAMPLE = "Title and abstract", "Introduction", "Data", "Sample"
_ANALYSIS, _OPEN, _RESULTS, _DISCUSSION = "Analysis", "Open science", "Results", "Discussion"
_NO_PATIENTS = "Not answered: the collection says nothing of the people behind the images"

ITEMS = (
    Item("1", _TITLE, "Name target population, outcome and kind of study", "Title and {summary}"),
    Item("2", _TITLE, "Abstract with the essentials", "{summary}"),
    Item("3a", _INTRO, "Clinical context and existing models", "{use}; README (the study that is reproduced)"),
    Item("3b", _INTRO, "Intended population, purpose and users", "{use}"),
    Item("3c", _INTRO, "Known health inequalities", _NO_PATIENTS),
    Item("4", _INTRO, "Aims: development, evaluation or both", "{use}: both"),
    Item("5a", _DATA, "Sources of data, and how representative they are", "{data}: a convenience collection, representative of nothing known"),
    Item("5b", _DATA, "Dates of the data", "Not answered: the collection has no dates"),
    Item("6a", _DATA, "Setting, number and place of centres", _NO_PATIENTS),
    Item("6b", _DATA, "Who was eligible", _NO_PATIENTS),
    Item("6c", _DATA, "Treatments received", _NO_PATIENTS),
    Item("7", _DATA, "Preparation and quality checks of the data", "{data}; {methods}"),
    Item("8a", _DATA, "The outcome, and how it was assessed", "{data}: a visible tumour, by the folder an image lies in"),
    Item("8b", _DATA, "Who assessed the outcome", "Not answered: the makers of the collection do not say"),
    Item("8c", _DATA, "Whether outcome assessment was blinded", "Not answered: the makers of the collection do not say"),
    Item("9a", _DATA, "How predictors were chosen", "{methods}: the pixels of one slice, nothing else"),
    Item("9b", _DATA, "Definition and measurement of predictors", "{methods}"),
    Item("9c", _DATA, "Who assessed predictors that need judgement", "{methods}: none do"),
    Item("10", _SAMPLE, "How the size of the study came about", "Not answered: the collection sets the size; the intervals say what that allows"),
    Item("11", _SAMPLE, "Missing data", "{methods}: an image that cannot be read is an error; no other data are used"),
    Item("12a", _ANALYSIS, "How data were used, and divided", "{methods}"),
    Item("12b", _ANALYSIS, "How predictors were transformed", "{methods}"),
    Item("12c", _ANALYSIS, "Kind of model, how it was built, tuned and validated", "{methods}; {training}; {parameters}; {decisions}"),
    Item("12d", _ANALYSIS, "Differences between clusters such as centres", "Not answered: centres are not known; copies and patients are clusters of the bootstrap"),
    Item("12e", _ANALYSIS, "Measures and plots of performance", "{performance}; {calibration}"),
    Item("12f", _ANALYSIS, "Updating after evaluation", "{methods}: temperature and threshold, by out-of-fold predictions of development images"),
    Item("12g", _ANALYSIS, "How predictions were computed for evaluation", "{methods}; README (`brain-tumor predict`)"),
    Item("13", _ANALYSIS, "Class imbalance, and what it does to calibration", "{methods}; {calibration}"),
    Item("14", _ANALYSIS, "Fairness", _NO_PATIENTS + ", so no subgroup of people can be formed"),
    Item("15", _ANALYSIS, "What the model gives, and how thresholds were chosen", "{use}; {calibration}"),
    Item("16", _ANALYSIS, "Differences between development and evaluation data", "{external}", ("external",)),
    Item("17", _ANALYSIS, "Ethical approval and consent", "Not answered: public images without identities; the collection does not say"),
    Item("18a", _OPEN, "Funding", "Not answered: none is declared"),
    Item("18b", _OPEN, "Conflicts of interest", "Not answered: none are declared"),
    Item("18c", _OPEN, "Protocol", "dvc.yaml and params.yaml, as they were run; docs/"),
    Item("18d", _OPEN, "Registration", "Not answered: the study is not registered"),
    Item("18e", _OPEN, "Data", "{data}; {lineage}: data.dvc names every file by its hash"),
    Item("18f", _OPEN, "Code", "{lineage}; LICENSE"),
    Item("19", _OPEN, "Patients and public", "Not answered: they were not involved"),
    Item("20a", _RESULTS, "Flow of participants", "{data}: images; patients are not known"),
    Item("20b", _RESULTS, "Characteristics of participants", _NO_PATIENTS),
    Item("20c", _RESULTS, "Evaluation beside development data", "{data}: classes and formats; {external}", ("external",)),
    Item("21", _RESULTS, "Numbers and events in every analysis", "{data}; captions of all tables and figures"),
    Item("22", _RESULTS, "The whole model, so that others can use it", "{lineage}: the registered model; {parameters}"),
    Item("23a", _RESULTS, "Performance with intervals, also of subgroups", "{performance}; {crossvalidation}", ("headline",)),
    Item("23b", _RESULTS, "Differences in performance between clusters", "Not answered: centres are not known"),
    Item("24", _RESULTS, "Results of updating", "{calibration}"),
    Item("25", _DISCUSSION, "Interpretation, fairness included", "{summary}; {use}"),
    Item("26", _DISCUSSION, "Limitations", "{use}; {data}"),
    Item("27a", _DISCUSSION, "Poor or missing input in use", "{use}: a slice unlike the training images is flagged"),
    Item("27b", _DISCUSSION, "What users must do and know", "{use}"),
    Item("27c", _DISCUSSION, "Next steps", "{use}"),
)  # fmt: skip
