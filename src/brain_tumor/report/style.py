"""The style sheet of a page: a module, so that DVC and the tests see it as the code it is."""

_COLOURS = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --tint: #f3f5f8; --ink: #1b2431; --muted: #525e6d; --line: #c8d0d9;
  --accent: #0b4f8a; --warn: #fdf3d9; --warn-line: #a06a00;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --tint: #1b2129; --ink: #e6eaef; --muted: #a7b2bf; --line: #3a4552;
    --accent: #86bdf3; --warn: #33290f; --warn-line: #d9a441;
    --figure-ink: #e6eaef; --figure-muted: #a7b2bf; --figure-line: #3a4552;
    --figure-blue: #6cb1ee; --figure-orange: #f09a5b; --figure-paper: #12161b;
    --figure-pale: #1d3348;
  }
}
"""

_TEXT = """\
:root {
  font: 100%/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
    sans-serif;
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 0 1rem 4rem; max-width: 52rem; background: var(--paper);
  color: var(--ink); overflow-wrap: break-word; -webkit-text-size-adjust: 100%;
}
header { padding: 2.5rem 0 .5rem; border-bottom: 3px solid var(--accent); }
h1 {
  font-size: clamp(1.5rem, 1.1rem + 2vw, 2.1rem); line-height: 1.2; margin: 0 0 .75rem;
  letter-spacing: -.01em;
}
h2 {
  font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 1rem; padding-bottom: .35rem;
  border-bottom: 1px solid var(--line);
}
h2 .number { color: var(--accent); margin-right: .5rem; font-variant-numeric: tabular-nums; }
h3 { font-size: 1.05rem; line-height: 1.3; margin: 2rem 0 .6rem; }
p, ul { margin: 0 0 .9rem; max-width: 46rem; }
ul { padding-left: 1.25rem; }
li { margin: .2rem 0; }
.lead { font-size: 1.08rem; color: var(--muted); }
a { color: var(--accent); }
code {
  font: .88em/1.4 ui-monospace, "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere;
}
th code { overflow-wrap: normal; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.note { background: var(--warn); border-left: 4px solid var(--warn-line); padding: .65rem .9rem; }
nav { font-size: .92rem; margin: 1rem 0 0; }
nav ol { margin: 0; padding: 0 0 0 1.6rem; columns: 2 16rem; column-gap: 2rem; }
nav li { break-inside: avoid; margin: .15rem 0; }
nav li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
nav a { text-decoration: none; }
.absent { color: var(--muted); font-size: .84rem; line-height: 1.4; }
p.absent { margin: .8rem 0 .1rem; font-weight: 600; }
ul.absent { margin: 0; }
nav a:hover { text-decoration: underline; }
"""

_FIGURES = """\
.key {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(15rem, 44%), 1fr)); gap: .75rem;
  margin: 0 0 1.4rem;
}
.key div {
  background: var(--tint); border-top: 3px solid var(--accent); padding: .6rem .8rem .7rem;
}
.key dt { font-size: .82rem; color: var(--muted); }
.key dd {
  margin: .1rem 0 0; font-size: 1.55rem; line-height: 1.2; font-weight: 600;
  font-variant-numeric: tabular-nums;
}
.key small {
  display: block; font-size: .8rem; font-weight: 400; color: var(--muted); margin-top: .15rem;
}
.tabled { margin: 1.5rem 0 1.9rem; }
.scroll { overflow-x: auto; }
table {
  border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4;
  font-variant-numeric: tabular-nums;
}
.caption, figcaption {
  font-size: .88rem; line-height: 1.45; color: var(--muted);
}
.caption { margin: 0 0 .5rem; }
.caption b, figcaption b { color: var(--ink); }
thead { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody { border-bottom: 2px solid var(--ink); }
tbody tr + tr { border-top: 1px solid var(--line); }
th, td {
  padding: .38rem 1.4rem .38rem 0; text-align: left; vertical-align: top; font-weight: 400;
}
tbody th { min-width: 7.5rem; }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 600; vertical-align: bottom; }
.figures { text-align: right; }
.group th { padding-top: 1rem; font-weight: 600; }
.interval { color: var(--muted); white-space: nowrap; font-size: .92em; }
figure { margin: 1.5rem 0 2rem; }
figure svg { display: block; width: auto; height: auto; max-width: 100%; margin: 0 0 .6rem; }
figcaption { max-width: 46rem; }
.beside {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr));
  column-gap: 2rem;
}
.beside figure { margin-bottom: 1rem; }
.pictures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(10rem, 45%), 1fr)); gap: 1rem;
  margin: 1.5rem 0 2rem;
}
.pictures figure { margin: 0; break-inside: avoid; }
.pictures img { display: block; width: 100%; height: auto; background: #000; margin-bottom: .4rem; }
"""

_MEDIA = """\
@media screen and (min-width: 82rem) {
  body {
    max-width: 72rem; display: grid; grid-template-columns: 15rem minmax(0, 52rem);
    column-gap: 4rem; align-items: start;
  }
  header { grid-column: 1 / -1; }
  nav {
    position: sticky; top: 1.5rem; margin-top: 3.25rem; max-height: calc(100vh - 3rem);
    overflow-y: auto;
  }
  nav ol { columns: auto; }
}
@media screen and (max-width: 40rem) {
  table { font-size: .8rem; }
  th, td { padding-right: .6rem; }
  .key dd { font-size: 1.3rem; }
}
@media print {
  @page {
    size: A4; margin: 17mm 16mm 19mm;
    @bottom-center {
      content: counter(page) " / " counter(pages); font: 8pt sans-serif; color: #525e6d;
    }
  }
  :root { font-size: 9.5pt; color-scheme: light; }
  body { max-width: none; padding: 0; }
  header { padding-top: 0; }
  nav { display: none; }
  p, ul, figcaption { max-width: none; }
  .scroll { overflow: visible; }
  h2, h3, .caption, .group { break-after: avoid; }
  h2 { margin-top: 1.8rem; }
  .new-page { break-before: page; }
  .new-page h2 { margin-top: 0; }
  figure, .beside, .key, .note, .short, tr { break-inside: avoid; }
  .beside { grid-template-columns: 1fr 1fr; }
  thead { display: table-header-group; }
  p { orphans: 3; widows: 3; }
  a { color: inherit; text-decoration: none; }
  * { print-color-adjust: exact; }
}
"""

CSS = _COLOURS + _TEXT + _FIGURES + _MEDIA
