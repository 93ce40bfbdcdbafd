// The tape: three lanes of acceleration, a bracket over the window that was judged last, and below
// them what was recognised. Lanes and words tell things apart, so that no colour has to.
const FINEST = 1 / 200; // s between samples that are kept to be drawn
const KEPT = 8192;
const HEAD = 22, LABEL = 15, BLOCK = 22, FOOT = 22, GUTTER = 18; // px
const STRIP = LABEL + BLOCK;

export class Tape {
  constructor(canvas, hop, window) {
    Object.assign(this, { canvas, hop, window });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    for (const query of [this.still, matchMedia("(prefers-color-scheme: dark)")])
      query.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.clear();
  }

  clear(truth = []) {
    this.samples = []; // [t, x, y, z]
    this.blocks = []; // { name, kind, from, to }
    this.judged = null;
    this.truth = truth;
    this.limit = 2;
    this.draw();
  }

  push({ times, values }) {
    for (let k = 0; k < times.length; k++) {
      const last = this.samples.at(-1);
      if (last && times[k] < last[0]) this.samples = []; // the clock went back
      else if (last && times[k] - last[0] < FINEST) continue;
      this.samples.push([times[k], ...values.subarray(3 * k, 3 * k + 3)]);
    }
    if (this.samples.length > KEPT) this.samples.splice(0, this.samples.length - KEPT / 2);
  }

  judge({ start, end, name, kind }) {
    this.judged = { start, end };
    const last = this.blocks.at(-1);
    const same = last?.name === name && last.kind === kind;
    if (same && Math.abs(last.to + this.hop - end) < this.hop / 2) last.to = end;
    else this.blocks.push({ name, kind, from: end - this.hop, to: end });
    if (this.blocks.length > 400) this.blocks.splice(0, 200);
  }

  run() {
    let drawn = 0;
    const frame = (now) => {
      if (!this.still.matches || now - drawn > 1000) {
        this.draw();
        drawn = now;
      }
      this.request = requestAnimationFrame(frame);
    };
    this.halt();
    this.request = requestAnimationFrame(frame);
  }

  halt() {
    cancelAnimationFrame(this.request);
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    this.color = (name) => style.getPropertyValue(`--${name}`);
    this.font = (weight, size) => `${weight} ${size}px ${style.fontFamily}`;
    pen.scale(ratio, ratio);
    pen.lineJoin = "round";
    const rows = this.truth.length ? 2 : 1;
    const bottom = height - FOOT - rows * STRIP;
    const span = Math.max(1.6 * this.window, width / 56);
    const now = this.samples.at(-1)?.[0] ?? 0;
    const x = (t) => width - ((now - t) / span) * (width - GUTTER);
    this.axis(pen, { x, now, span, width, height });
    if (this.judged) this.bracket(pen, x, bottom);
    this.lanes(pen, { x, from: now - span, width, bottom });
    const done = this.truth.filter(({ from }) => from < now);
    const below = { x, width, top: bottom + STRIP, label: "done by the simulated person" };
    this.strip(pen, this.blocks, { x, width, top: bottom, label: "recognised" });
    if (rows > 1) this.strip(pen, done, below);
  }

  axis(pen, { x, now, span, width, height }) {
    pen.font = this.font(400, 11);
    pen.fillStyle = this.color("quiet");
    pen.textBaseline = "alphabetic";
    pen.textAlign = "right";
    pen.fillText("now", width, height - 3);
    pen.textAlign = "center";
    for (let ago = 2; ago < span - 0.4; ago += 2)
      pen.fillText(`−${ago} s`, x(now - ago), height - 3);
  }

  bracket(pen, x, bottom) {
    const { start, end } = this.judged;
    const left = Math.max(x(start), GUTTER), right = x(end);
    if (right < GUTTER) return;
    pen.fillStyle = this.color("raised");
    pen.fillRect(left, HEAD - 6, right - left, bottom - HEAD + 6);
    pen.strokeStyle = pen.fillStyle = this.color("accent");
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(left, HEAD);
    pen.lineTo(left, HEAD - 6);
    pen.lineTo(right, HEAD - 6);
    pen.lineTo(right, HEAD);
    pen.stroke();
    pen.font = this.font(500, 11);
    pen.textAlign = "left";
    pen.fillText(`window, ${Number(this.window.toFixed(1))} s`, left + 1, HEAD - 10);
  }

  lanes(pen, { x, from, width, bottom }) {
    const tall = (bottom - HEAD) / 3;
    let first = this.samples.findIndex(([t]) => t >= from);
    first = first < 0 ? this.samples.length : Math.max(0, first - 1);
    const shown = this.samples.slice(first);
    const most = shown.reduce((m, [, ...g]) => Math.max(m, ...g.map(Math.abs)), 0);
    this.limit = [2, 4, 8].find((limit) => most <= 2 * limit) ?? 16; // a peak may leave its lane
    for (let axis = 0; axis < 3; axis++) {
      const middle = HEAD + tall * (axis + 0.5);
      const y = (g) => middle - (g / this.limit) * (tall / 2 - 2);
      pen.fillStyle = this.color("quiet");
      pen.font = this.font(500, 13);
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.fillText("xyz"[axis], 0, middle);
      pen.strokeStyle = this.color("rule");
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(GUTTER, middle);
      pen.lineTo(width, middle);
      pen.stroke();
      pen.save();
      pen.beginPath();
      pen.rect(GUTTER, 0, width, bottom);
      pen.clip();
      pen.strokeStyle = this.color("ink");
      pen.lineWidth = 1.4;
      pen.beginPath();
      shown.forEach((sample, k) => {
        const gap = k > 0 && sample[0] - shown[k - 1][0] > 0.25;
        pen[k && !gap ? "lineTo" : "moveTo"](x(sample[0]), y(sample[axis + 1]));
      });
      pen.stroke();
      pen.restore();
    }
    pen.textBaseline = "alphabetic";
    pen.textAlign = "right";
    pen.font = this.font(400, 11);
    pen.fillStyle = this.color("quiet");
    pen.fillText(`±${Number(this.limit.toPrecision(2))} g`, width, HEAD - 10);
  }

  strip(pen, blocks, { x, width, top, label }) {
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.font = this.font(400, 11);
    pen.fillStyle = this.color("quiet");
    pen.fillText(label, GUTTER, top + LABEL - 4);
    pen.font = this.font(500, 12);
    pen.textBaseline = "middle";
    for (const { name, kind, from, to } of blocks) {
      const left = Math.max(x(from), GUTTER) + 1;
      const wide = Math.min(x(to), width) - 1 - left;
      if (wide < 1) continue;
      pen.fillStyle = pen.strokeStyle = this.color(kind === "action" ? "ink" : "edge");
      pen.lineWidth = 1;
      if (kind === "action") pen.fillRect(left, top + LABEL, wide, BLOCK);
      else pen.strokeRect(left + 0.5, top + LABEL + 0.5, wide - 1, BLOCK - 1);
      pen.fillStyle = this.color(kind === "action" ? "paper" : "quiet");
      pen.fillText(fitted(pen, name, wide - 8), left + 4, top + LABEL + BLOCK / 2 + 1);
    }
  }
}

/** A name, shortened to some width; nothing where hardly a letter would be left. */
function fitted(pen, name, wide) {
  if (pen.measureText(name).width <= wide) return name;
  const letters = Array.from(name);
  const shortened = () => `${letters.join("")}…`;
  while (letters.length > 2 && pen.measureText(shortened()).width > wide) letters.pop();
  return letters.length > 2 ? shortened() : "";
}
