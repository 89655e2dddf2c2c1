// What the model says of a file, for people. Text goes in as text: file names are not trusted.
let shown = 0;

export function slices(name, answers, model) {
  return answers.map((answer) => slice(name, answer, model));
}

export function failure(name, error) {
  const article = element("article", "slice failed");
  article.append(element("h3", "", name), element("p", "", `Not looked at. ${error.message}`));
  if (error.detail) article.append(element("p", "quiet", error.detail));
  return article;
}

export function tally() {
  return {
    yes: 0, no: 0, unlike: 0, failed: 0,
    add(answers) {
      for (const one of answers) {
        this[one.label] += 1;
        this.unlike += one.out_of_distribution;
      }
    },
    words() {
      const parts = [`Slices labelled yes: ${this.yes}, no: ${this.no}.`];
      if (this.unlike) parts.push(`Unlike the training images: ${this.unlike}.`);
      if (this.failed) parts.push(`Files that could not be looked at: ${this.failed}.`);
      return parts.join(" ");
    },
  };
}

function slice(name, answer, model) {
  const view = document.getElementById("slice-template").content.cloneNode(true).firstElementChild;
  const find = (selector) => view.querySelector(selector);
  const title = answer.slice ? `${name}, ${answer.slice}` : name;
  find("h3").textContent = title;
  view.classList.toggle("doubtful", answer.out_of_distribution);
  warn(find(".warnings"), answer.warnings);
  pictures(view, title, answer);
  find(".verdict strong").textContent = answer.out_of_distribution ? `${answer.label}?` : answer.label;
  find(".verdict span").textContent = `at threshold ${threshold(answer)}`;
  find(".number b").textContent = probability(answer.probability);
  scale(find(".scale"), answer);
  find(".words").textContent = words(answer);
  facts(find("dl"), answer, model);
  return view;
}

function warn(list, warnings) {
  list.hidden = !warnings.length;
  list.replaceChildren(...warnings.map((text) => element("li", "", sentence(text))));
}

function pictures(view, title, answer) {
  shown += 1;
  const [picture, heat] = view.querySelectorAll(".stage img");
  Object.assign(picture, { src: answer.picture, alt: `${title}, as read` });
  Object.assign(heat, { src: answer.heatmap, alt: `${title}, with the heat map over it` });
  const show = (which) => {
    picture.hidden = which === "heat";
    heat.hidden = which !== "heat";
    view.querySelector(".legend").classList.toggle("off", which !== "heat");
  };
  for (const input of view.querySelectorAll(".views input")) {
    input.name = `view-${shown}`;
    input.checked = input.value === "heat";
    input.addEventListener("change", () => show(input.value));
  }
  show("heat");
  view.querySelector(".peak").textContent =
    `Where the model’s score comes from, not where a tumour is. The strongest place adds or takes ` +
    `${answer.strongest_place.toPrecision(2)} in the logit; grey ones do nothing, and what lies outside the head is left grey.`;
}

function scale(view, answer) {
  const [p, t] = [answer.probability, answer.threshold].map((value) => 100 * value);
  view.style.setProperty("--value", `${p}%`);
  view.style.setProperty("--threshold", `${t}%`);
  view.style.setProperty("--shift", `${-t}%`);
  view.querySelector(".mark-label").textContent = `threshold ${threshold(answer)}`;
  view.setAttribute(
    "aria-label",
    `Probability ${probability(answer.probability)} on a scale from 0 to 1, threshold ${threshold(answer)}`,
  );
}

function words(answer) {
  if (answer.out_of_distribution)
    return "The model was not made for images like this one. Do not read much into its number.";
  const side = answer.label === "yes" ? "at or above" : "below";
  return `The model’s output is ${side} its threshold. That is no diagnosis.`;
}

function facts(list, answer, model) {
  const temperature = model?.temperature ? ` (temperature ${model.temperature.toPrecision(3)})` : "";
  const rows = [
    ["Distance from the training images", `${answer.ood_score.toPrecision(2)} (flagged above 1)`],
    ["Plane", plane(answer)],
    ["Calibrated", answer.calibrated ? `yes${temperature}` : "no: a score, not a chance"],
    ["Model", `${answer.model}, ${answer.engine}`],
  ];
  list.replaceChildren(...rows.flatMap(([key, value]) => [element("dt", "", key), element("dd", "", value)]));
}

function plane(answer) {
  const sure = `${(100 * answer.alignment).toFixed(0)} % sure`;
  if (!answer.plane) return "not known";
  return answer.aligned ? `${answer.plane} (${sure})` : `perhaps ${answer.plane} (${sure}): not aligned`;
}

function probability(value) {
  if (value > 0.9995) return "> 0.999";
  if (value < 0.0005) return "< 0.001";
  return value.toFixed(3);
}

function threshold(answer) {
  return answer.threshold.toFixed(2);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
