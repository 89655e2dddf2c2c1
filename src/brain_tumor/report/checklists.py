"""Reporting checklists: every item, and where it is answered, or that it is not and why.

CLAIM: Tejani et al., *Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
Update*, Radiology: Artificial Intelligence 6(4), 2024; 44 items. TRIPOD+AI: Collins et al.,
*TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression
or machine learning methods*, BMJ 385:e078378, 2024; 27 items, 52 with their letters. The numbers
are theirs; the words are ours.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

from brain_tumor.figure_text import capitalised
from brain_tumor.report.page import Section, Table

UNANSWERED = "Not answered"
PENDING = {
    "crossvalidation": "the nested cross-validation (`make evidence`) has left no summary",
    "external": "the log (docs/evidence/external-log.csv) has no evaluation of this very model on "
    "other data (`brain-tumor evaluate ... --log`)",
    "explanation": "docs/evidence has no test of this very model's heat maps (`make evidence`)",
    "robustness": "docs/evidence has no degradation curves of this very model (`make evidence`)",
}


@dataclass(frozen=True)
class Item:
    """An item of a checklist.

    Attributes:
        number: as published.
        part: the part of a paper it belongs to.
        asks: in our words.
        answer: where that stands; `{data}` is put as the number of that section. Begins with
            `Not answered` where it is not, with the reason.
        needs: keys of `PENDING` without which it is not answered.
    """

    number: str
    part: str
    asks: str
    answer: str
    needs: tuple[str, ...] = ()

    def answered(self, present: Collection[str]) -> bool:
        """Whether there is an answer, with the evidence that is `present`."""
        return not self.answer.startswith(UNANSWERED) and set(self.needs) <= set(present)

    def where(self, present: Collection[str], sections: Mapping[str, str]) -> str:
        """The answer for people; `sections`: key of a section to how it is referred to."""
        lacking = [PENDING[key] for key in self.needs if key not in present]
        if lacking:
            return f"{UNANSWERED} yet: {'; '.join(lacking)}."
        where = self.answer.format_map(sections)
        return capitalised(where) if where.startswith("section") else where


@dataclass(frozen=True)
class Checklist:
    """A published checklist."""

    title: str
    items: tuple[Item, ...]

    def section(self, present: Collection[str], sections: Mapping[str, str]) -> Section:
        """A row per item, under one for each part of a paper; arguments as in `Item.where`."""
        rows: list[list[str]] = []
        for part, items in groupby(self.items, key=lambda item: item.part):
            rows.append([part, "", ""])
            rows += [[item.number, item.asks, item.where(present, sections)] for item in items]
        caption = (
            f"{self.tally(present)} The numbers are the checklist's, the words are ours; the "
            "published text decides."
        )
        head = ("Item", "What it asks for", "Where it is answered")
        return Section(self.title, [Table(head, rows, caption)], new_page=True)

    def tally(self, present: Collection[str]) -> str:
        """How many items are answered."""
        count, total = sum(item.answered(present) for item in self.items), len(self.items)
        return f"{count} of {total} items are answered, {total - count} are not."


_TITLE, _INTRO, _DESIGN, _DATA = "Title and abstract", "Introduction", "Study design", "Data"
_REFERENCE, _PARTITION, _MODEL, _TRAIN = "Reference standard", "Partitions", "Model", "Training"
_EVALUATION, _RESULTS, _DISCUSSION, _OTHER = "Evaluation", "Results", "Discussion", "Other"
_SAMPLE, _ANALYSIS, _OPEN = "Sample", "Analysis", "Open science"
_NO_PATIENTS = "Not answered: the collection says nothing of the people behind the images"

CLAIM = Checklist("Checklist: CLAIM 2024", (
    Item("1", _TITLE, "Name the kind of artificial intelligence", "Title and {summary}"),
    Item("2", _TITLE, "Summarise design, methods, results and conclusions", "{summary}"),
    Item("3", _INTRO, "Background, intended use and role of the method", "{use}; README"),
    Item("4", _INTRO, "Aims and hypotheses", "{use}: what is asked of the model, and of this evaluation"),
    Item("5", _DESIGN, "Prospective or retrospective", "{methods}: retrospective"),
    Item("6", _DESIGN, "Goal of the study", "{use}; {methods}"),
    Item("7", _DATA, "Where the data come from", "{data}"),
    Item("8", _DATA, "What was included and left out, and why", "{data}: files left out by `validate.exclude` and by the checks of stage validate"),
    Item("9", _DATA, "How images are preprocessed", "{methods}"),
    Item("10", _DATA, "Parts of images or of the data that were selected", "{methods}: single slices, cropped to the brain"),
    Item("11", _DATA, "How the data were freed of identities", "Not answered: the collection came without names or headers, and its makers do not say how"),
    Item("12", _DATA, "How missing data were handled", "{methods}: an image that cannot be read is an error, and an alignment that is not sure falls back to centring"),
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
))  # fmt: skip

TRIPOD = Checklist("Checklist: TRIPOD+AI", (
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
    Item("23a", _RESULTS, "Performance with intervals, also of subgroups", "{performance}; {crossvalidation}", ("crossvalidation",)),
    Item("23b", _RESULTS, "Differences in performance between clusters", "Not answered: centres are not known"),
    Item("24", _RESULTS, "Results of updating", "{calibration}"),
    Item("25", _DISCUSSION, "Interpretation, fairness included", "{summary}; {use}"),
    Item("26", _DISCUSSION, "Limitations", "{use}; {data}"),
    Item("27a", _DISCUSSION, "Poor or missing input in use", "{use}: a slice unlike the training images is flagged"),
    Item("27b", _DISCUSSION, "What users must do and know", "{use}"),
    Item("27c", _DISCUSSION, "Next steps", "{use}"),
))  # fmt: skip
