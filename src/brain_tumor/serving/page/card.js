// The model's card, from its facts: what it was measured on first, all the rest below.
import { element } from "./results.js";

const FIRST = ["intended_use", "limits", "images", "metrics"];
const SILENT = ["digest", "name", "schema_version"];
const HEADLINE = ["accuracy", "sensitivity", "specificity", "auroc"];
const WORDS = { auroc: "AUROC" };
const TITLES = {
  limits: "Limits",
  not_for: "Not for",
  images: "Images",
  metrics: "Figures with 95 % intervals",
  input: "Input",
  output: "Output",
  model: "Network",
  lineage: "Lineage",
  digest: "Digest",
};

export function showModel(model) {
  const version = model.version ? ` version ${model.version}` : "";
  document.getElementById("model-name").textContent = `${model.name}${version}, threshold ${model.threshold.toFixed(2)}`;
  document.getElementById("hint").textContent =
    `${model.limits.types}; up to ${model.limits.max_file_bytes / 1e6} MB each. ` +
    "Files are looked at in memory and not kept.";
  document.getElementById("slices").max = model.limits.max_slices;
  document.getElementById("summary").replaceChildren(...summary(model.facts));
  document.getElementById("card-body").replaceChildren(...card(model));
  document.getElementById("about").hidden = false;
}

function summary(facts) {
  const [test, counts] = [facts.metrics?.test, facts.images?.test];
  const parts = [];
  if (test && counts)
    parts.push(
      `On ${counts.no + counts.yes} test images (${counts.no} no, ${counts.yes} yes) it was not trained on: ` +
        HEADLINE.filter((name) => test[name]).map((name) => `${label(name)} ${interval(test[name])}`).join("; ") + ".",
    );
  else parts.push("No figures of a test came with this model: nothing is known of how right it is.");
  if (facts.model?.initial_weights) parts.push(`Trained from initial weights: ${facts.model.initial_weights}.`);
  return [...parts.map((text) => element("p", "", text)), ...list(facts.limits ?? [])];
}

function card({ facts, card: markdown, digest }) {
  const names = [...FIRST.slice(2), ...Object.keys(facts).filter((name) => !FIRST.includes(name))];
  if (!Object.keys(facts).length) return [element("pre", "", markdown || "This model has no card.")];
  const sections = names.filter((name) => name in facts && !SILENT.includes(name)).flatMap((name) => section(name, facts[name]));
  if (digest) sections.push(element("h3", "", TITLES.digest), element("p", "code", digest));
  if (facts.intended_use) sections.unshift(element("p", "", facts.intended_use));
  return sections;
}

function section(name, value) {
  const title = element("h3", "", TITLES[name] ?? label(name));
  if (name === "images") return [title, table(["split", "no", "yes"], Object.entries(value).map(([split, { no, yes }]) => [split, no, yes]))];
  if (name === "metrics") return [title, metrics(value)];
  if (Array.isArray(value)) return [title, ...records(value)];
  if (value && typeof value === "object") return [title, definitions(value)];
  return [title, element("p", "", text(value))];
}

function records(values) {
  if (!values.length) return [element("p", "", "none")];
  if (typeof values[0] !== "object") return list(values);
  const names = [...new Set(values.flatMap((value) => Object.keys(value)))];
  return [table(names.map(label), values.map((value) => names.map((name) => value[name] ?? "")))];
}

function metrics(splits) {
  const names = [...new Set(Object.values(splits).flatMap((figures) => Object.keys(figures)))];
  const rows = names.map((name) => [label(name), ...Object.values(splits).map((figures) => (figures[name] ? interval(figures[name]) : ""))]);
  return table(["figure", ...Object.keys(splits)], rows);
}

function interval({ value, low, high }) {
  const fixed = (number) => number.toFixed(Math.abs(number) < 10 ? 2 : 0);
  return low === undefined || high === undefined ? fixed(value) : `${fixed(value)} (${fixed(low)} to ${fixed(high)})`;
}

function table(head, rows) {
  const made = element("table");
  const line = (cells, first) => {
    const row = element("tr");
    row.append(...cells.map((cell, column) => {
      const made = element(first || !column ? "th" : "td", "", text(cell));
      if (first || !column) made.scope = first ? "col" : "row";
      return made;
    }));
    return row;
  };
  const [top, body] = [element("thead"), element("tbody")];
  top.append(line(head, true));
  body.append(...rows.map((row) => line(row, false)));
  made.append(top, body);
  const scroller = element("div", "scroller");
  Object.assign(scroller, { tabIndex: 0, role: "region", ariaLabel: `Table of ${head[0]}s` });
  scroller.append(made);
  return scroller;
}

function definitions(values) {
  const made = element("dl");
  made.append(...Object.entries(values).flatMap(([key, value]) => [element("dt", "", label(key)), element("dd", "", text(value))]));
  return made;
}

function list(items) {
  if (!items.length) return [];
  const made = element("ul");
  made.append(...items.map((item) => element("li", "", text(item))));
  return [made];
}

function label(name) {
  return WORDS[name] ?? name.replaceAll("_", " ");
}

function text(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
