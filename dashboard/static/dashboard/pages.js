// The pages of the last 30 minutes: rows stay the same elements, so that one that rises
// can be seen to move.

import { compact, exact } from "./format.js";

const MOVE_MS = 180;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Pages {
  constructor(body, nothing) {
    this.body = body;
    this.nothing = nothing;
    this.rows = new Map();
  }

  show(pages) {
    this.nothing.hidden = pages.length > 0;
    const before = new Map([...this.rows].map(([path, row]) => [path, row.element.offsetTop]));
    const most = Math.max(...pages.map((page) => page.views), 1);
    const rows = pages.map((page) => this.update(page, most));
    const kept = new Set(pages.map((page) => page.path));
    for (const path of this.rows.keys()) if (!kept.has(path)) this.rows.delete(path);
    this.place(rows.map((row) => row.element));
    if (!still.matches) pages.forEach((page, n) => move(rows[n], before.get(page.path)));
  }

  update(page, most) {
    const row = this.rows.get(page.path) ?? this.add(page.path);
    row.element.style.setProperty("--share", `${(100 * page.views) / most}%`);
    write(row.people, page.visitors_now || null, "");
    write(row.views, page.views);
    return row;
  }

  add(path) {
    const element = document.createElement("tr");
    const [name, people, views] = ["th", "td", "td"].map((tag) => element.appendChild(document.createElement(tag)));
    name.scope = "row";
    name.title = path;
    const text = name.appendChild(document.createElement("bdi"));
    text.textContent = path;
    people.className = views.className = "number";
    const row = { element, people, views };
    this.rows.set(path, row);
    return row;
  }

  // Only what stands elsewhere is moved, so that a selection or a focus survives.
  place(elements) {
    elements.forEach((element, n) => {
      const there = this.body.children[n];
      if (there !== element) this.body.insertBefore(element, there ?? null);
    });
    while (this.body.children.length > elements.length) this.body.lastElementChild.remove();
  }
}

function write(cell, number, nothing = "0") {
  const text = number === null ? nothing : compact(number);
  if (cell.textContent === text) return;
  cell.textContent = text;
  cell.title = number === null ? "" : exact(number);
}

function move(row, before) {
  const distance = before === undefined ? 0 : before - row.element.offsetTop;
  if (!distance) return;
  row.element.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: MOVE_MS, easing: "ease-out" });
  if (distance > 0) {
    row.element.classList.remove("risen");
    void row.element.offsetWidth;
    row.element.classList.add("risen");
  }
}
