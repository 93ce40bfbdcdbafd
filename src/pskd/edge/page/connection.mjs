// The student on the server, over a WebSocket of the page's own origin (docs/live.md).
const MOST = 100; // samples in a message
const EVERY = 40; // ms between messages; the server takes no more samples a second than this gives

export class Connection {
  constructor(on) {
    this.on = on;
    this.waiting = [];
  }

  async open() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    const url = new URL("stream", location.href.split("#")[0]);
    url.protocol = url.protocol.replace("http", "ws");
    if (token) url.searchParams.set("token", token);
    this.socket = new WebSocket(url);
    this.socket.addEventListener("message", ({ data }) => this.hear(JSON.parse(data)));
    await new Promise((opened, failed) => {
      this.socket.addEventListener("open", opened);
      this.socket.addEventListener("close", () => {
        const unknown = "The server closed the connection. It may be stopped, or want a token.";
        const why = this.said ?? unknown;
        failed(new Error(why));
        if (!this.finished) this.on.lost(why);
      });
    });
    this.send({ type: "hello", version: 1, unit: "g" });
    this.timer = setInterval(() => this.flush(), EVERY);
  }

  push({ times, values }) {
    for (let k = 0; k < times.length; k++)
      this.waiting.push([times[k], values[3 * k], values[3 * k + 1], values[3 * k + 2]]);
  }

  flush() {
    if (this.waiting.length) this.send({ samples: this.waiting.splice(0, MOST) });
    if (this.ending && !this.waiting.length) {
      this.ending = false;
      this.send({ type: "finish" });
    }
  }

  hear(message) {
    if (message.type === "prediction") this.on.prediction(fromWire(message));
    else if (message.type === "notice") this.on.notice(message.message);
    else if (message.type === "done") this.end(message.counts);
    else if (message.type === "error") {
      this.said = `The server says: ${message.message}`;
      this.on.error(this.said);
    }
  }

  finish() {
    this.ending = true;
  }

  end(counts) {
    this.close();
    this.on.done(counts);
  }

  close() {
    this.finished = true;
    clearInterval(this.timer);
    this.socket?.close();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

const fromWire = (m) => ({
  start: m.start_s,
  end: m.end_s,
  name: m.class,
  probability: m.probability,
  probabilities: m.probabilities,
  action: m.action,
  reported: m.reported,
});

/** Holds two streams of predictions against each other, window by window. */
export class Comparison {
  constructor() {
    Object.assign(this, { windows: 0, agreed: 0, largest: 0, open: new Map() });
  }

  /** `side` is 0 or 1; the predictions of a window are told apart by when it ends. */
  take(side, prediction) {
    const key = prediction.end.toFixed(6);
    const other = this.open.get(key);
    if (!other || other.side === side) {
      if (this.open.size < 1000) this.open.set(key, { side, prediction });
      return;
    }
    this.open.delete(key);
    const theirs = other.prediction.probabilities;
    const apart = prediction.probabilities.map((p, k) => Math.abs(p - theirs[k]));
    this.windows++;
    this.agreed += prediction.name === other.prediction.name ? 1 : 0;
    this.largest = Math.max(this.largest, ...apart);
  }

  get words() {
    if (!this.windows) return "no window yet";
    const apart = this.largest ? this.largest.toExponential(0) : "0";
    return `${this.agreed} of ${this.windows} agree, at most ${apart} apart`;
  }
}
