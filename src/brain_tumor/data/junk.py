"""Names of files and folders that are no images: what systems leave behind, and documents."""

import re
from fnmatch import translate
from functools import cache
from typing import Final

# Patterns in small letters; the case of a name does not matter. Hidden names are junk without being
# listed: `.DS_Store`, `._a.png`, `.Trash-1000`, `.@__thumb`, `.AppleDouble`, `.directory`.
_SYSTEM: Final = (
    # Windows
    "thumbs.db", "thumbs.db:encryptable", "ehthumbs*.db", "desktop.ini", "folder.htt", "~$*",
    "$recycle.bin", "recycler", "recycled", "system volume information", "*:zone.identifier",
    "*.lnk", "*.url", "albumart*.jpg", "pagefile.sys", "hiberfil.sys", "swapfile.sys",
    # macOS
    "__macosx", "icon\r", "temporary items", "network trash folder", "thevolumesettingsfolder",
    "*.webloc",
    # Linux desktops and editors
    "lost+found", "*~", "*.swp", "*.kate-swp", "*.part", "*.crdownload", "*.desktop",
    # network storage: Synology, QNAP, Netatalk, NetApp, FreeNAS
    "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb",
    "*@synoeastream", "*@synoresource", "@sharebin", "@sharesnap", "~snapshot",
    # CDs of DICOM files: their table of contents, and the viewers that come along
    "dicomdir", "autorun.*", "lockfile", "ihe_pdi", "*.exe", "*.dll", "*.ocx", "*.msi", "*.bat",
    "*.cmd", "*.com", "*.sh", "*.so", "*.dylib", "*.jar", "*.class", "*.app", "*.inf", "*.ini",
    "*.cfg", "*.ico", "*.icns", "*.chm", "*.hlp", "*.cab", "*.manifest", "*.properties",
)  # fmt: skip
# By their endings texts, tables, pages and code: they lie beside images and are none.
_DOCUMENTS: Final = (
    "*.csv", "*.doc", "*.docx", "*.dvc", "*.css", "*.htm", "*.html", "*.js", "*.json", "*.log",
    "*.md", "*.npy", "*.npz", "*.ods", "*.odt", "*.pdf", "*.ppt", "*.pptx", "*.py", "*.rtf",
    "*.tsv", "*.txt", "*.xls", "*.xlsx", "*.xml", "*.xsl", "*.xslt", "*.yaml", "*.yml", "readme",
    "license", "licence", "version",
)  # fmt: skip


def is_junk(name: str) -> bool:
    """Tell by the name of a file or folder whether it is hidden or what a system leaves behind."""
    return name.startswith(".") or _matches(name, _SYSTEM)


def is_document(name: str) -> bool:
    """Tell by the name of a file whether it is a text, a table, a page or code."""
    return _matches(name, _DOCUMENTS)


def is_no_image(path: str) -> bool:
    """Tell by the path of a file within its folder whether it is junk, in junk, or a document."""
    parts = path.split("/")
    return any(map(is_junk, parts)) or is_document(parts[-1])


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _pattern(patterns).match(name.lower()) is not None


@cache
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all, since a folder holds a hundred thousand names."""
    return re.compile("|".join(map(translate, patterns)))
