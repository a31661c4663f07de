// The balance page: what the server sent, kept up to date through the JSON API.

import { exact } from "./format.js";

const EVERY_MS = 2_000;
const PATIENCE_MS = 8_000;
const find = (id) => document.getElementById(id);
const tableOf = (name) => document.querySelector(`table[data-rows="${name}"]`);
const addresses = JSON.parse(find("addresses").textContent);

class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// An unknown value is a dash; a moment is shown to the minute.
function shown(value = "") {
  if (value === null) return "—";
  if (typeof value === "number") return exact(value);
  return /^\d{4}-\d\d-\d\dT/.test(value) ? `${value.slice(0, 10)} ${value.slice(11, 16)}` : value;
}

function fill(table, rows, total) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  for (const head of heads) {
    if ("optional" in head.dataset) head.hidden = ![...rows, total ?? {}].some((row) => row[head.dataset.column]);
  }
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((row, n) => fillRow(body.rows[n] ?? addRow(body, heads), heads, row));
  if (total) fillRow(table.tFoot.rows[0], heads, total);
}

function fillRow(element, heads, row) {
  heads.forEach((head, n) => {
    const value = row[head.dataset.column];
    write(element.cells[n], shown(value));
    element.cells[n].hidden = head.hidden;
    element.cells[n].classList.toggle("zero", n > 0 && value === 0);
  });
}

function addRow(body, heads) {
  const element = body.insertRow();
  element.append(...heads.map((_, n) => document.createElement(n ? "td" : "th")));
  element.cells[0].scope = "row";
  return element;
}

function say(verdict) {
  find("verdict").dataset.state = verdict.sentence_state;
  write(find("sentence"), verdict.sentence);
  const list = find("remarks");
  while (list.children.length > verdict.remarks.length) list.lastElementChild.remove();
  verdict.remarks.forEach((remark, n) => {
    const item = list.children[n] ?? addRemark(list);
    item.dataset.state = remark.state;
    write(item.lastChild, remark.sentence);
  });
}

function addRemark(list) {
  const item = document.createElement("li");
  const dot = Object.assign(document.createElement("span"), { className: "dot" });
  item.append(dot, document.createTextNode(""));
  list.append(item);
  return item;
}

function show(balance, site) {
  // Sent while the live store was away, the page has no tables yet.
  if (!tableOf("partitions")) return location.reload();
  say(balance.verdict);
  write(find("at"), balance.as_of.at.slice(11, 19));
  if (find("log")) write(find("log"), balance.topic_id ?? "");
  fill(tableOf("partitions"), balance.partitions, { ...balance.totals, partition: "All", lag: balance.as_of.lag });
  fill(tableOf("earlier_logs"), [{ ...balance.earlier_logs, log: "All earlier" }]);
  fill(tableOf("archive"), balance.archive);
  if (site) fill(tableOf("days"), site.days.reverse(), { ...site.totals, day: "All" });
}

async function ask(address) {
  const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.ok) return response.json();
  const answer = await response.json().catch(() => null);
  throw new Refused(response.status, answer?.error?.reason ?? `The server answered ${response.status}.`);
}

// The numbers stay, and are said to be no longer fresh.
function lose(error) {
  const line = find("notice");
  const loggedOut = error instanceof Refused && error.status === 401;
  const reason = error instanceof Refused ? error.message : "The server does not answer.";
  const text = loggedOut ? "You are logged out. " : `${reason} These numbers are no longer fresh; the page tries again by itself.`;
  find("verdict").dataset.state = "gone";
  if (line.hidden || line.dataset.text !== text) {
    const address = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    const link = Object.assign(document.createElement("a"), { href: address, textContent: "Log in again" });
    line.replaceChildren(text, ...(loggedOut ? [link] : []));
  }
  line.dataset.text = text;
  line.hidden = false;
}

let waiting = null;
let asking = false;

async function refresh() {
  clearTimeout(waiting);
  if (asking || document.hidden) return;
  asking = true;
  try {
    show(...(await Promise.all(addresses.map(ask))));
    find("notice").hidden = true;
  } catch (error) {
    lose(error);
  }
  asking = false;
  waiting = setTimeout(refresh, EVERY_MS);
}

document.addEventListener("visibilitychange", refresh);
find("site-switch")?.addEventListener("change", (event) => event.target.form.submit());
waiting = setTimeout(refresh, EVERY_MS);
