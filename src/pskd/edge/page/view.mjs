// What the page says in words: the action, the likely ones, the list, figures and messages.
// Names come from a student's file, so that they go in as text and never as markup.
const LISTED = 200;
const SPOKEN = 2000; // ms between two announcements

export const byId = (id) => document.getElementById(id);

const percent = (p) => `${Math.round(100 * p)} %`;

const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

export function showState(state, words) {
  byId("state").dataset.state = state;
  byId("state").textContent = words;
}

export function showMessage(text) {
  byId("message").textContent = text;
}

/** The large word. `kind` is action, perhaps (not reported yet), idle, unknown or none. */
export function showAction(name, kind, sure = "") {
  const action = byId("action");
  const longest = Math.max(...name.split(/\s+/).map((word) => word.length));
  action.style.setProperty("--chars", Math.max(longest, Math.ceil(name.length / 1.8), 7));
  action.dataset.kind = kind;
  action.textContent = name;
  byId("sure").textContent = sure;
}

export function showPrediction(prediction, classes) {
  const { name, kind, probability } = prediction;
  const best = classes[prediction.probabilities.indexOf(probability)];
  const sure = {
    action: `${percent(probability)} sure`,
    perhaps: `perhaps: ${percent(probability)} sure so far`,
    idle: "hardly any movement",
    unknown: `none of the actions; nearest is ${best}`,
  };
  showAction(name, kind, sure[kind]);
  const order = prediction.probabilities.map((p, k) => [p, k]).sort((a, b) => b[0] - a[0]);
  const rows = order.slice(0, 3).map(([p, k]) => {
    const bar = element("span", "bar");
    bar.append(element("i"));
    bar.firstChild.style.transform = `scaleX(${p})`;
    const row = element("li");
    row.append(element("span", "name", classes[k]), element("span", "", percent(p)), bar);
    return row;
  });
  byId("likely-title").textContent = "Most likely";
  byId("likely").replaceChildren(...rows);
}

/** The list of actions, newest first; the newest one grows while it lasts. */
export class Log {
  constructor() {
    this.clear();
  }

  clear() {
    byId("log").replaceChildren();
    this.first = this.open = null;
    this.spoken = -Infinity;
  }

  take(prediction) {
    this.first ??= prediction.start;
    if (this.open && prediction.name !== this.open.name) this.open = null;
    if (prediction.action) this.begin(prediction);
    if (!this.open) return;
    this.open.most = Math.max(this.open.most, prediction.probability);
    this.open.sure.textContent = percent(this.open.most);
  }

  begin({ action, end }) {
    const row = element("li");
    const time = element("time", "", clock(end - this.first));
    const sure = element("span", "sure");
    row.append(time, element("span", "name", action), sure);
    byId("log").prepend(row);
    if (byId("log").children.length > LISTED) byId("log").lastChild.remove();
    this.open = { name: action, most: 0, sure };
    const now = performance.now();
    if (now - this.spoken < SPOKEN) return;
    this.spoken = now;
    byId("spoken").textContent = action;
  }
}

/** A list of { name: value }, each as a term with its description. */
export function showTerms(list, terms) {
  const rows = Object.entries(terms).map(([name, value]) => {
    const row = element("div");
    row.append(element("dt", "", name), element("dd", "", value));
    return row;
  });
  list.replaceChildren(...rows);
}

export function addNotice(text) {
  const list = byId("notices");
  const there = [...list.children].map((row) => row.textContent);
  if (there.includes(text) || there.length > 50) return;
  list.append(element("li", "", text));
}
