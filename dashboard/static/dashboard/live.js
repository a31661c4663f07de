// The live page of one site.

import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { clock, compact, duration, exact } from "./format.js";
import { Pages } from "./pages.js";

const BEHIND_S = 5;
const find = (id) => document.getElementById(id);
const first = JSON.parse(find("state").textContent);
const minuteTime = clock(first.time_zone, false);
const secondTime = clock(first.time_zone, true);
const chart = new Chart(find("chart"), minuteTime);
const pages = new Pages(find("pages"), find("no-pages"));
const figures = [...document.querySelectorAll("[data-figure]")];

let shown = first;
let shownAt = performance.now();
let connected = false;
let version = null;

function show(state, page) {
  shown = state;
  shownAt = performance.now();
  const waiting = state.last_received === null && state.visitors_now !== null;
  find("waiting").hidden = !waiting;
  find("board").hidden = waiting;
  find("paused").hidden = state.active;
  for (const figure of figures) {
    const number = state[figure.dataset.figure];
    figure.textContent = compact(number);
    figure.title = exact(number);
  }
  chart.show(state.minutes);
  pages.show(state.pages);
  document.title = state.visitors_now === null ? `${state.name} · live` : `${compact(state.visitors_now)} now · ${state.name}`;
  if (page && version && page !== version) notice("This page is older than the server. ", "Reload it", location.href);
  version ??= page;
}

// What the numbers are worth: the dot, the words, and the reason behind them.
function judge() {
  const { state, age_seconds: age, through, lag } = shown.as_of;
  const seconds = age === null ? null : age + (performance.now() - shownAt) / 1000;
  if (!connected) return ["gone", through ? `disconnected, showing ${secondTime(Date.parse(through))}` : "disconnected", "The page tries to connect again by itself."];
  if (state === "unavailable") return ["gone", "no live store", "The live store does not answer. Page views are still accepted and will be counted."];
  if (state === "rebuilding") return ["busy", `rebuilding ${Math.floor(100 * shown.as_of.rebuilt)}%`, "The live store was emptied. Its numbers are counted again from the archive and the log. New page views are safe and will be counted too."];
  if (state === "unknown") return ["gone", "not counting yet", "No consumer has reported yet. Page views are accepted and will be counted when one runs."];
  const complete = `Everything that arrived until ${secondTime(Date.parse(through))} is in these numbers.`;
  if (seconds < BEHIND_S) return ["live", "live", complete];
  const waiting = lag === null ? "No consumer has reported for some seconds." : `${exact(lag)} events wait to be counted.`;
  return ["behind", `${duration(seconds)} behind`, `${complete} ${waiting}`];
}

function trust() {
  const [kind, word, detail] = judge();
  const badge = find("trust");
  badge.hidden = false;
  badge.dataset.state = kind;
  for (const [id, text] of [["trust-word", word], ["trust-detail", detail]]) {
    if (find(id).textContent !== text) find(id).textContent = text;
  }
}

function notice(text, link, address) {
  const line = find("notice");
  const anchor = Object.assign(document.createElement("a"), { href: address, textContent: link });
  line.replaceChildren(text, anchor);
  line.hidden = false;
}

function lost(reason) {
  connected = false;
  trust();
  const back = `/login?next=${encodeURIComponent(location.pathname)}`;
  if (reason === "logged out") notice("You are logged out. ", "Log in again", back);
  if (reason === "not allowed") notice("You may no longer see this site. ", "All sites", "/?all");
  if (reason === "no site") notice("This site was removed. ", "All sites", "/?all");
}

async function copy(button) {
  const text = find(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    // Without https a browser may refuse: then the text is selected instead.
    getSelection().selectAllChildren(text);
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2_000);
}

for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));
find("site-switch")?.addEventListener("change", (event) => { location.href = event.target.value; });

show(first, null);
const address = new URL(`/ws/live/${encodeURIComponent(first.site)}`, location.href);
address.protocol = address.protocol.replace("http", "ws");
new Connection(address, (state, page) => { connected = true; show(state, page); trust(); }, lost);
setInterval(trust, 500);
