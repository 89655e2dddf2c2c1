"""brain-tumor data: fetch, add, status, diff, drift."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from brain_tumor.cli.options import DATA, PARAMS, DataFolder, ParamsFile, sections
from brain_tumor.command import reporting_errors, say
from brain_tumor.escaping import as_json, terminal


def data_drift(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model to compare with: models:/NAME@ALIAS or models:/NAME/NUMBER. The default is "
            "the @champion of register.name.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the compared distributions to this PNG file."),
    ] = None,
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
) -> None:
    """Warn where images that are new since the champion are unlike the images it was made from.

    Compares size, compression, grey levels, detail, head, plane, balance of the classes, distance
    to the training images in the network's features, and how often the model is right. Works on
    the data folder as it is, before and after `dvc repro`. Warnings go to standard error and do
    not change the exit code.
    """
    from brain_tumor import settings
    from brain_tumor.files import write_json
    from brain_tumor.monitoring.drift import check_drift, save_figure

    with reporting_errors():
        sections = settings.read(params)
        uri = model or f"models:/{sections.register.name}@champion"
        drift = check_drift(uri, data, sections.validate, sections.drift)
        if json_file:
            write_json(json_file, drift.as_dict())
        if figure and drift.measures:
            save_figure(figure, drift)
    for line in drift.warnings():
        print(f"warning: {terminal(line)}", file=sys.stderr)
    counts = f"{drift.images.new} new images in {drift.clusters.new} groups"
    result = drift.note or f"{len(drift.warned)} of {len(drift.measures)} measures warn."
    say(f"{drift.champion or uri}: {counts}. {result}")


app = typer.Typer(
    help="Fill the data folder, grow it and compare it, all under DVC.", no_args_is_help=True
)
app.command("drift")(data_drift)


@app.command("fetch")
def data_fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="`phantom` makes images from a seed alone. Or a directory or an archive (.zip, "
            ".tar, .tar.gz ...) that holds the class folders. Or `kaggle:OWNER/NAME`, which needs "
            "pip install 'brain-tumor[kaggle]'."
        ),
    ] = "phantom",
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the data folder.")
    ] = False,
) -> None:
    """Fill the data folder with class folders of images.

    Masks (masks/) and patients.csv beside the class folders are copied too. If class folders are
    nested, the outermost are taken. Nothing in the data folder is replaced without --force, and
    no folder is left half filled. The .dvc file records the source.
    """
    from brain_tumor.data.fetch import fetch
    from brain_tumor.machine import lasting

    with reporting_errors(), lasting(f"filling {data}"):
        counts = fetch(source, data, *sections(params), force=force)
    images = ", ".join(f"{count} {name}" for name, count in counts.items())
    say(f"{data}: {images}; next: git add {data}.dvc && git commit")


@app.command("ensure")
def data_ensure(data: DataFolder = DATA, params: ParamsFile = PARAMS) -> None:
    """Bring the data folder back if it is missing.

    Makes the phantom if the .dvc file describes it or does not exist. Otherwise runs `dvc pull`.
    """
    from brain_tumor.data.fetch import ensure

    with reporting_errors():
        say(ensure(data, *sections(params)))


@app.command("add")
def data_add(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder with images of one class, at any depth; or one image file.",
        ),
    ],
    label: Annotated[
        str,
        typer.Option(
            "--label",
            metavar="CLASS",
            help="Class of these images: yes (they show a tumour), no, or the name of the class "
            "folder as section `validate` of the parameters has it.",
        ),
    ],
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
) -> None:
    """Add images of one class to the data folder and to its .dvc file: all of them, or none.

    Every file is decoded and checked first, and all faults are reported at once. Images keep their
    path below FOLDER. If another image has that name, a few digits of the content's hash go into
    the new name. An image whose bytes are there already is skipped, so adding again adds nothing.
    The same bytes in the other class are an error.

    FOLDER may hold patients.csv (columns path,patient; paths as in FOLDER), so that images of one
    patient stay in one split (the same name is the same patient), and masks/IMAGE.png for the
    image at path IMAGE.

    If it fails or is interrupted, the data folder and its .dvc file stay as they were.
    """
    from brain_tumor import settings
    from brain_tumor.data.grow import add, added_lines
    from brain_tumor.machine import lasting

    with reporting_errors():
        classes = settings.read(params).validate
        try:
            known_label = classes.label_of(label)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--label") from error
        with lasting(f"adding to {data}"):
            plan = add(folder, known_label, data, classes)
    for line in added_lines(plan, data, tuple(classes.folders)):
        say(line)


@app.command("diff")
def data_diff(
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="Commit, branch or tag to compare with.")
    ] = "HEAD",
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
    all_names: Annotated[bool, typer.Option("--all", help="Name every file.")] = False,
    json_text: Annotated[bool, typer.Option("--json", help="Print JSON, with every file.")] = False,
) -> None:
    """Show how the data folder differs from the data of a revision.

    Lists images that are added, removed, relabelled (the same bytes in the other class folder),
    renamed (the same bytes under another name) or changed (other bytes under the same name), and
    other files that differ. Only the revision's list of files is fetched.
    """
    from brain_tumor.data.compare import diff_lines, since
    from brain_tumor.machine import lasting

    with reporting_errors():
        _, folders = sections(params)
        with lasting(f"comparing {data} with {revision}"):
            diff = since(revision, data, folders)
        if json_text:
            print(as_json(diff.as_dict()), flush=True)
            return
        for line in diff_lines(diff, revision, data, show_all=all_names):
            say(line)


@app.command("status")
def data_status(data: DataFolder = DATA, params: ParamsFile = PARAMS) -> None:
    """Show the state of the data, and what to do next.

    Shows images and patients, where they come from, whether the folder is what the .dvc file
    describes, whether that is committed, and whether the default DVC remote has all files.
    """
    from brain_tumor.data.compare import status
    from brain_tumor.machine import lasting

    with reporting_errors():
        _, folders = sections(params)
        with lasting(f"comparing {data} with what is on record"):
            for line in status(data, folders):
                say(line)
