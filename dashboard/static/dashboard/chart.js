// Numbers over time as bars, and those of the time before as a faint line behind them.

import { rounded } from "./format.js";

const element = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

const SVG = "http://www.w3.org/2000/svg";
const LABELS = 7;
// Of the chart's width: what begins later would run out of it, or into “now”.
const LAST_LABEL = 0.86;

export class Chart {
  // `unit` is what is counted, one of it; `before` names what the faint line is of; `end` is
  // written at the right end.
  constructor(container, { unit = "view", before = "before", end = "" } = {}) {
    this.container = container;
    this.unit = unit;
    this.before = before;
    this.end = end;
    this.bars = new Map();
    this.top = element("span", "top note");
    this.plot = element("div", "plot");
    this.line = document.createElementNS(SVG, "svg");
    this.line.setAttribute("preserveAspectRatio", "none");
    this.path = this.line.appendChild(document.createElementNS(SVG, "path"));
    this.axis = element("div", "axis note");
    this.said = element("span", "unseen");
    this.said.setAttribute("role", "status");
    container.append(this.top, this.plot, this.line, this.axis);
    document.body.append(this.said);
    container.tabIndex = 0;
    container.addEventListener("keydown", (event) => this.walk(event));
    container.addEventListener("blur", () => this.point(null));
  }

  // `points`, oldest first: `key` (by default the label), `label`, `views` (null: still to come)
  // and `before` (null: not known); `current`: which of them is still running.
  show(points, current = null) {
    this.points = points;
    const most = niceTop(Math.max(...points.map(({ views, before }) => Math.max(views ?? 0, before ?? 0)), 0));
    this.top.textContent = rounded(most);
    this.container.setAttribute("aria-label", describe(points, current));
    const keys = new Set(points.map(keyOf));
    for (const [key, bar] of this.bars) if (!keys.has(key)) { bar.remove(); this.bars.delete(key); }
    points.forEach((point, n) => {
      const bar = this.bars.get(keyOf(point)) ?? this.add(keyOf(point));
      if (this.plot.children[n] !== bar) this.plot.insertBefore(bar, this.plot.children[n] ?? null);
      bar.style.setProperty("--height", `${(100 * (point.views ?? 0)) / most}%`);
      bar.classList.toggle("current", n === current);
      bar.classList.toggle("to-come", point.views === null);
      bar.classList.toggle("early", n < points.length * 0.2);
      bar.classList.toggle("late", n > points.length * 0.8);
      bar.dataset.tip = this.tip(point);
    });
    this.draw(points, most);
    this.label(points);
  }

  add(key) {
    const bar = element("div", "slot");
    bar.append(element("i", ""));
    this.bars.set(key, bar);
    return bar;
  }

  tip({ label, views, before }) {
    const parts = [label];
    if (views !== null) parts.push(`${views.toLocaleString("en")} ${this.unit}${views === 1 ? "" : "s"}`);
    if (before !== null) parts.push(`${before.toLocaleString("en")} ${this.before}`);
    return parts.join(" · ");
  }

  draw(points, most) {
    const at = points.flatMap(({ before }, n) => (before === null ? [] : [[n + 0.5, 100 - (100 * before) / most]]));
    this.line.setAttribute("viewBox", `0 0 ${points.length || 1} 100`);
    this.path.setAttribute("d", at.length > 1 ? `M${at.map((place) => place.join(" ")).join("L")}` : "");
  }

  label(points) {
    const first = points.length ? `${keyOf(points[0])} ${points.length}` : "";
    if (this.labelled === first) return;
    this.labelled = first;
    const step = Math.ceil(points.length / LABELS);
    const labels = points.flatMap((point, n) => {
      if (n % step || n > points.length * LAST_LABEL) return [];
      const text = element("span", "", point.label);
      text.style.left = `${(100 * n) / points.length}%`;
      return [text];
    });
    this.axis.replaceChildren(...labels, ...(this.end ? [element("span", "end", this.end)] : []));
  }

  walk(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.points.length) return;
    event.preventDefault();
    const at = this.points.findIndex((point) => keyOf(point) === this.pointed);
    const next = at < 0 ? (step > 0 ? 0 : this.points.length - 1) : at + step;
    this.point(this.points[Math.min(Math.max(next, 0), this.points.length - 1)]);
  }

  point(point) {
    this.bars.get(this.pointed)?.classList.remove("pointed");
    this.pointed = point && keyOf(point);
    this.bars.get(this.pointed)?.classList.add("pointed");
    this.said.textContent = point ? this.tip(point) : "";
  }
}

const keyOf = (point) => point.key ?? point.label;

// The least round number that the highest bar fits under.
function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((top) => top >= Math.max(most, 4));
}

function describe(points, current) {
  const known = points.filter(({ views }) => views !== null);
  if (!known.length) return "No numbers";
  const busiest = known.reduce((a, b) => (b.views > a.views ? b : a));
  const sum = known.reduce((total, { views }) => total + views, 0);
  const now = current === null ? "" : `; ${points[current].views} at ${points[current].label}, so far`;
  return `${sum} from ${known[0].label} to ${known.at(-1).label}, most at ${busiest.label}: ${busiest.views}${now}. Arrow keys tell one after the other.`;
}
