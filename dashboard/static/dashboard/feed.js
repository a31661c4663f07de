// The last events, newest first. It waits while somebody reads it.

import { nameOf } from "./names.js";

// Faster than this nobody reads.
const EVERY_MS = 1_000;

export class Feed {
  constructor(list, nothing, held, time) {
    this.list = list;
    this.nothing = nothing;
    this.held = held;
    this.time = time;
    this.items = new Map();
    this.drawnAt = -EVERY_MS;
    for (const [type, reads] of [["pointerenter", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) {
      list.addEventListener(type, () => this.hold(reads));
    }
  }

  show(events) {
    this.events = events;
    const left = this.drawnAt + EVERY_MS - performance.now();
    if (this.waiting || this.reads) return;
    if (left > 0) this.waiting = setTimeout(() => this.draw(), left);
    else this.draw();
  }

  hold(reads) {
    this.reads = reads;
    this.held.hidden = !reads;
    if (!reads) this.draw();
  }

  draw() {
    clearTimeout(this.waiting);
    this.waiting = null;
    if (this.reads) return;
    this.drawnAt = performance.now();
    this.nothing.hidden = this.events.length > 0;
    const items = this.events.map((event) => this.items.get(event.id) ?? this.item(event));
    this.items = new Map(this.events.map((event, n) => [event.id, items[n]]));
    items.forEach((item, n) => {
      if (this.list.children[n] !== item) this.list.insertBefore(item, this.list.children[n] ?? null);
    });
    while (this.list.children.length > items.length) this.list.lastElementChild.remove();
  }

  item(event) {
    const item = document.createElement("li");
    const when = part("time", "note", this.time(event.received));
    when.dateTime = new Date(event.received).toISOString();
    item.append(when, what(event), part("bdi", "note", about(event)));
    return item;
  }
}

function part(tag, className, text) {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

function what(event) {
  const element = part("span", "what", "");
  element.title = event.path;
  if (event.name !== "pageview") element.append(part("b", "", event.name), " ");
  element.append(part("bdi", "", event.path));
  return element;
}

// Where somebody is, with what, and from where he came.
function about({ country, browser, os, device, source }) {
  const program = [browser, os].filter(Boolean).join(" on ") || device;
  return [source && `from ${source}`, country && nameOf("region", country), program].filter(Boolean).join(" · ");
}
