// Joins the parts: a source feeds the tape and one or two recognisers, whose predictions are shown.
import { Comparison, Connection } from "./connection.mjs";
import { readCsv } from "./csv.mjs";
import { IDLE, Recognizer, UNKNOWN } from "./recognizer.mjs";
import { Motion, Replay } from "./sources.mjs";
import { Tape } from "./tape.mjs";
import { Log, addNotice, byId, showAction, showMessage } from "./view.mjs";
import { showPrediction, showState, showTerms } from "./view.mjs";
import { loadStudent } from "./student.mjs";

const LATENCIES = 50; // predictions that the median latency is of

const data = JSON.parse(byId("data").textContent);
const { config, settings } = data;
const hop = settings.hop_seconds ?? config.hop_seconds;
const tape = new Tape(byId("tape"), hop, config.window_seconds);
const log = new Log();
const kinds = new Map([[IDLE, "idle"], [UNKNOWN, "unknown"]]);

let student = null;
let session = null;
let file = null; // that was chosen last
let recording = null; // in it
let lock = null;

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** From Start to Stop: one stream, from one source, recognised in one or two places. */
class Session {
  constructor(source, place) {
    Object.assign(this, { source, place, latencies: [], arrivals: [], open: 0 });
    this.comparison = place === "compare" ? new Comparison() : null;
    this.engines = [];
    if (place !== "server") this.engines.push(new Local(this.ears(0)));
    if (place !== "browser") this.engines.push(new Connection(this.ears(1)));
  }

  /** What an engine calls; the first of the engines is the one that is shown. */
  ears(side) {
    return {
      prediction: (prediction) => {
        if (session !== this) return;
        this.comparison?.take(side, prediction);
        if (side === (this.place === "server" ? 1 : 0)) this.show(prediction);
      },
      notice: addNotice,
      error: showMessage,
      lost: (why) => session === this && this.stop(why),
      done: (counts) => {
        if (session !== this) return;
        this.counts ??= counts;
        this.open--;
        if (this.open === 0) this.end("Finished");
      },
    };
  }

  async start() {
    showState("wait", "Starting");
    await this.source.prepare(); // first, as iOS asks on a tap only
    if (session !== this) return;
    await Promise.all(this.engines.map((engine) => engine.open()));
    if (session !== this) return;
    this.open = this.engines.length;
    showState("live", "Listening");
    showAction("Listening", "none", `a first answer takes ${config.window_seconds.toFixed(1)} s`);
    tape.run();
    this.figures = setInterval(() => this.report(), 500);
    this.source.run((chunk) => this.feed(chunk), (fault) => this.ended(fault));
  }

  feed(chunk) {
    const { times, arrived } = chunk;
    tape.push(chunk);
    for (let k = 0; k < times.length; k++) this.arrivals.push([times[k], arrived[k]]);
    if (this.arrivals.length > 8192) this.arrivals.splice(0, 4096);
    for (const engine of this.engines) engine.push(chunk);
  }

  show(prediction) {
    const action = prediction.reported ? "action" : "perhaps";
    const shown = { ...prediction, kind: kinds.get(prediction.name) ?? action };
    const last = prediction.end - config.window_seconds / config.samples;
    const made = this.arrivals.find(([t]) => t >= last - 1e-6); // the sample that completed it
    if (made?.[1]) this.latencies.push(Math.max(0, performance.now() - made[1]));
    this.latencies = this.latencies.slice(-LATENCIES);
    showState("live", "Recognising");
    tape.judge(shown);
    showPrediction(shown, config.classes);
    log.take(shown);
  }

  report() {
    const counts = this.counts ?? this.engines[0].counts;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const recent = this.arrivals.slice(-64);
    const seconds = recent.length > 1 ? recent.at(-1)[0] - recent[0][0] : 0;
    const median = sorted[sorted.length >> 1];
    const terms = {
      Latency: sorted.length ? `${median.toFixed(median < 10 ? 1 : 0)} ms` : "–",
      Samples: seconds > 0 ? `${((recent.length - 1) / seconds).toFixed(0)} Hz` : "–",
      Gaps: counts?.gaps ?? "–",
      Late: counts?.late ?? "–",
    };
    if (this.comparison) terms["Browser and server"] = this.comparison.words;
    showTerms(byId("figures"), terms);
  }

  ended(fault) {
    if (fault) this.stop(fault);
    else {
      this.source.stop();
      for (const engine of this.engines) engine.finish();
    }
  }

  stop(fault = "") {
    for (const engine of this.engines) engine.close();
    if (fault) showMessage(fault);
    this.end("Stopped");
  }

  end(words) {
    this.source.stop();
    clearInterval(this.figures);
    this.report();
    tape.halt();
    session = null;
    showState("ready", words);
    if (byId("action").dataset.kind === "none") showAction(words, "none");
    controls();
    lock?.release().catch(() => {});
  }
}

/** The student in this page. */
class Local {
  constructor(on) {
    this.on = on;
  }

  async open() {
    student ??= await loadStudent(bytes(byId("student").textContent));
    this.recognizer = new Recognizer((window) => student.predict(window), config, settings);
  }

  get counts() {
    return this.recognizer?.counts;
  }

  push({ times, values }) {
    for (const prediction of this.recognizer.push(values, times)) this.on.prediction(prediction);
    this.recognizer.notices.forEach(this.on.notice);
  }

  finish() {
    for (const prediction of this.recognizer.finish()) this.on.prediction(prediction);
    this.recognizer.notices.forEach(this.on.notice);
    this.on.done(this.recognizer.counts);
  }

  close() {}
}

function source() {
  const speed = Number(byId("speed").value);
  const kind = chosen("source");
  if (kind === "motion") return new Motion(addNotice);
  if (kind === "person") return new Replay(person(), speed);
  if (!recording) throw new Error("Choose a CSV file first, or drop one on the page.");
  recording.notes.forEach(addNotice);
  return new Replay(recording, speed);
}

/** The simulated person: samples at an even rate, mg as integers of 16 bits. */
function person() {
  const { rate, samples } = data.person;
  const raw = bytes(samples);
  const view = new DataView(raw.buffer);
  const value = (_, k) => view.getInt16(2 * k, true) / 1000;
  const values = Float32Array.from({ length: raw.length / 2 }, value);
  return { times: Float64Array.from({ length: values.length / 3 }, (_, k) => k / rate), values };
}

const truth = () =>
  data.person.actions.map(([from, to, name]) => ({ from, to, name, kind: "done" }));

async function start() {
  showMessage("");
  byId("notices").replaceChildren();
  let begun = null;
  try {
    session = begun = new Session(source(), chosen("place"));
    log.clear();
    tape.clear(chosen("source") === "person" ? truth() : []);
    byId("likely").replaceChildren();
    controls();
    await begun.start();
    stayAwake();
  } catch (error) {
    if (!begun) showMessage(error.message);
    else if (session === begun) begun.stop(error.message);
  }
}

/** Keeps the screen on; browsers forget it whenever the page is hidden. */
async function stayAwake() {
  if (!session || document.hidden) return;
  lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

async function take(given) {
  if (!given || session) return;
  file = given;
  showMessage("");
  document.querySelector('input[value="file"]').checked = true;
  recording = null;
  byId("file-name").textContent = file.name;
  controls();
  try {
    recording = await readCsv(file, byId("unit").value);
  } catch (error) {
    showMessage(error.message);
  }
}

/** What can be chosen, and what the choice means. */
function controls() {
  const kind = chosen("source"), place = chosen("place");
  byId("place").hidden = !data.server;
  byId("replay").hidden = kind === "motion";
  for (const part of document.querySelectorAll(".only-file")) part.hidden = kind !== "file";
  for (const part of document.querySelectorAll("fieldset, select, #file"))
    part.disabled = Boolean(session);
  byId("start").textContent = session ? "Stop" : "Start";
  for (const part of [byId("start"), byId("controls")])
    part.toggleAttribute("data-running", Boolean(session));
  const sent = "The samples go to the server that this page came from, and nowhere else.";
  const here = "Recognised in this page. Nothing is sent anywhere.";
  const doubt = "This student learnt from people, and may misjudge it. ";
  let simulated = kind === "person" ? "Simulated: no person was recorded. " : "";
  if (simulated && config.dataset !== "simulated") simulated += doubt;
  byId("privacy").textContent = simulated + (place === "browser" ? here : sent);
}

function about() {
  const accuracy = (share) => `${(100 * share).toFixed(1)} %, ${config.protocol_note}`;
  const [seconds, every] = [config.window_seconds, hop].map((time) => time.toFixed(2));
  const [rate, waits] = [config.rate.toFixed(1), (6 / config.rate).toFixed(2)];
  showTerms(byId("about"), {
    "It knows": config.classes.join(", "),
    "It was trained on": `${config.dataset} (licence: ${config.licence})`,
    "Wear it on the": config.placement,
    "Accuracy on its test side":
      config.accuracy === null ? "not measured" : accuracy(config.accuracy),
    "It takes": `${seconds} s of acceleration every ${every} s, at ${rate} Hz`,
    "Latency":
      "from the last sample of a window to its answer; where samples come much faster than " +
      `${rate} Hz, a filter waits for ${waits} s of them`,
    "It is not for": "medical decisions, surveillance, or alarms that a life depends on",
  });
}

function prepare() {
  const wasm = byId("student").textContent !== "";
  for (const value of ["browser", "compare"])
    document.querySelector(`input[value="${value}"]`).disabled = !wasm;
  document.querySelector(`input[value="${wasm ? "browser" : "server"}"]`).checked = true;
  const phone = matchMedia("(pointer: coarse)").matches;
  document.querySelector(`input[value="${phone ? "motion" : "person"}"]`).checked = true;
  byId("knows").textContent = config.classes.join(", ");
  showAction("Ready", "none", `${config.classes.length} actions, ${config.placement}`);
  about();
  controls();
  byId("controls").addEventListener("change", controls);
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    if (session) session.stop();
    else start();
  });
  document.addEventListener("visibilitychange", stayAwake);
  byId("file").addEventListener("change", (event) => take(event.target.files[0]));
  byId("unit").addEventListener("change", () => take(file));
  for (const [kind, dropping] of [["dragover", true], ["dragleave", false], ["drop", false]])
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.toggleAttribute("data-drop", dropping);
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
}

prepare();
