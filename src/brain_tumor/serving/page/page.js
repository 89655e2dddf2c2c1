// Files chosen, dropped or pasted -> one request each -> results in the order of choice.
import { askModel, predict, Refused } from "./api.js";
import { showModel } from "./card.js";
import { failure, slices, tally } from "./results.js";

const AT_ONCE = 2;
const byId = (id) => document.getElementById(id);
const state = { waiting: [], running: 0, done: 0, total: 0, stop: null, counts: null, model: null };

function add(files) {
  if (!files.length) return;
  if (!state.total) Object.assign(state, { stop: new AbortController(), counts: tally() });
  for (const file of files) {
    const item = document.createElement("li");
    byId("list").append(item);
    state.waiting.push({ file, item });
  }
  state.total += files.length;
  byId("results").hidden = false;
  byId("results").setAttribute("aria-busy", "true");
  proceed();
}

function proceed() {
  while (state.running < AT_ONCE && state.waiting.length) look(state.waiting.shift());
  byId("busy").hidden = !state.total;
  if (!state.total) return;
  Object.assign(byId("progress"), { max: state.total, value: state.done });
  say(`Looking at ${state.total === 1 ? "the file" : `${state.total} files`}: ${state.done} done.`);
}

async function look({ file, item }) {
  state.running += 1;
  const { signal } = state.stop;
  item.textContent = `${file.name}: waiting for the model …`;
  try {
    check(file);
    const answer = await predict(file, slicesWanted(), signal);
    item.replaceChildren(...slices(file.name, answer.slices, state.model));
    state.counts.add(answer.slices);
  } catch (error) {
    if (signal.aborted) item.remove();
    else {
      item.replaceChildren(failure(file.name, error));
      state.counts.failed += 1;
    }
  }
  if (signal.aborted) return;
  state.running -= 1;
  state.done += 1;
  if (state.done === state.total) end(`Done. ${state.counts.words()}`);
  else proceed();
}

function slicesWanted() {
  const { value, min, max } = byId("slices");
  return Math.round(Math.min(Math.max(Number(value), min), max));
}

function check(file) {
  const most = state.model?.limits.max_file_bytes;
  if (most && file.size > most) throw new Refused("too_large", `At most ${most / 1e6} MB are taken.`);
}

function end(words) {
  for (const { item } of state.waiting) item.remove();
  Object.assign(state, { waiting: [], running: 0, done: 0, total: 0 });
  byId("busy").hidden = true;
  byId("results").removeAttribute("aria-busy");
  byId("results").hidden = !byId("list").children.length;
  say(words);
}

function say(words) {
  byId("status").textContent = words;
}

byId("files").addEventListener("change", ({ target }) => {
  add([...target.files]);
  target.value = ""; // the same file may be chosen again
});
byId("cancel").addEventListener("click", () => {
  state.stop.abort();
  end(`Cancelled. ${state.counts.words()}`);
  byId("files").focus();
});
byId("clear").addEventListener("click", () => {
  state.stop?.abort();
  byId("list").replaceChildren();
  end("Results cleared.");
  byId("files").focus();
});
window.addEventListener("paste", (event) => add([...event.clipboardData.files]));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open the file
    byId("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") add([...event.dataTransfer.files]);
  });
}

try {
  state.model = await askModel();
  showModel(state.model);
} catch (error) {
  byId("model-name").textContent = error.message;
}
