// A list of what is most frequent: rows stay the same elements, so that one that rises can be
// seen to move.

import { compact, exact } from "./format.js";

const MOVE_MS = 180;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Ranking {
  // `nothing` is shown while there are no rows.
  constructor(body, nothing) {
    this.body = body;
    this.nothing = nothing;
    this.rows = new Map();
  }

  // Rows in their order: `key`, `text` (by default the key), `size` of the bar, `numbers` (null:
  // nothing is written), `rest`: of no value of its own.
  show(rows) {
    this.nothing.hidden = rows.length > 0;
    const before = new Map([...this.rows].map(([key, row]) => [key, row.element.offsetTop]));
    const most = Math.max(...rows.map(({ size }) => size), 1);
    const made = rows.map((row) => this.update(row, most));
    const kept = new Set(rows.map(({ key }) => key));
    for (const key of this.rows.keys()) if (!kept.has(key)) this.rows.delete(key);
    this.place(made.map(({ element }) => element));
    if (!still.matches) rows.forEach(({ key }, n) => move(made[n].element, before.get(key)));
  }

  update({ key, text, size, numbers, rest }, most) {
    const row = this.rows.get(key) ?? this.add(key, numbers.length);
    if (row.text.textContent !== (text ?? key)) row.text.textContent = row.name.title = text ?? key;
    row.element.classList.toggle("rest", Boolean(rest));
    row.element.style.setProperty("--share", `${rest ? 0 : (100 * size) / most}%`);
    numbers.forEach((number, n) => write(row.cells[n], number));
    return row;
  }

  add(key, count) {
    const element = document.createElement("tr");
    const name = element.appendChild(document.createElement("th"));
    name.scope = "row";
    const text = name.appendChild(document.createElement("bdi"));
    const cells = Array.from({ length: count }, () => element.appendChild(document.createElement("td")));
    for (const cell of cells) cell.className = "number";
    const row = { element, name, text, cells };
    this.rows.set(key, row);
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

function write(cell, number) {
  const text = number === null ? "" : compact(number);
  if (cell.textContent === text) return;
  cell.textContent = text;
  cell.title = exact(number);
}

function move(row, before) {
  const distance = before === undefined ? 0 : before - row.offsetTop;
  if (!distance) return;
  row.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: MOVE_MS, easing: "ease-out" });
  if (distance > 0) {
    row.classList.remove("risen");
    void row.offsetWidth;
    row.classList.add("risen");
  }
}
