// One site as it is now.

import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { Feed } from "./feed.js";
import { change, clock, compact, exact } from "./format.js";
import { nameOf } from "./names.js";
import { noticeOf, noticeOfAge } from "./notice.js";
import { Ranking } from "./ranking.js";
import { followSwitch } from "./switch.js";
import { Trust } from "./trust.js";

// Of the pages; the others are behind a button.
const MOST_ROWS = 10;
const find = (id) => document.getElementById(id);
const first = JSON.parse(find("state").textContent);
const minuteTime = clock(first.time_zone, false);
const chart = new Chart(find("chart"), { before: "yesterday", end: "now" });
const trust = new Trust(first.time_zone);
const pages = new Ranking(find("pages"), find("no-pages"));
const sources = new Ranking(find("sources"), find("no-sources"));
const countries = new Ranking(find("countries"), find("no-countries"));
const feed = new Feed(find("feed"), find("no-feed"), find("feed-held"), clock(first.time_zone, true));
const figures = [...document.querySelectorAll("[data-figure]")];

let shown = first;
let shownAt = performance.now();
let connected = false;
let allPages = false;
let version = null;

function show(state, page) {
  shown = state;
  shownAt = performance.now();
  const waiting = state.last_received === null && state.visitors_now !== null;
  find("waiting").hidden = !waiting;
  find("board").hidden = waiting;
  find("paused").hidden = state.active;
  for (const figure of figures) write(figure, state[figure.dataset.figure]);
  showYesterday(state);
  showMinutes(state);
  showPages(state.pages);
  sources.show(people(state.sources, "Direct or unknown"));
  countries.show(people(state.countries, "Unknown", (code) => nameOf("region", code)));
  feed.show(state.feed);
  document.title = state.visitors_now === null ? `${state.name} · live` : `${compact(state.visitors_now)} now · ${state.name}`;
  if (page && version && page !== version) renew();
  version ??= page;
}

// Nobody stands at a wall to do it.
function renew() {
  if (document.documentElement.classList.contains("wall")) location.reload();
  else noticeOfAge();
}

function write(figure, number) {
  figure.textContent = compact(number);
  figure.title = exact(number);
}

function showYesterday({ views_today: views, yesterday }) {
  const line = find("yesterday");
  line.hidden = !yesterday?.views || views === null;
  if (line.hidden) return;
  line.firstElementChild.textContent = change(views, yesterday.views);
  line.lastElementChild.textContent = `was ${compact(yesterday.views)} yesterday`;
  line.title = exact(yesterday.views);
}

function showMinutes({ minutes, yesterday }) {
  const before = yesterday?.minutes.some(Boolean) ? yesterday.minutes : [];
  find("yesterday-key").hidden = !before.length;
  const points = minutes.map(([minute, views], n) => ({ key: minute, label: minuteTime(minute * 60_000), views, before: before[n] ?? null }));
  chart.show(points, points.length ? points.length - 1 : null);
}

function showPages(list) {
  const button = find("all-pages");
  button.hidden = list.length <= MOST_ROWS + 1;
  button.textContent = allPages ? "Fewer" : `All ${list.length}`;
  const rows = allPages || button.hidden ? list : list.slice(0, MOST_ROWS);
  pages.show(rows.map(({ path, views, visitors_now: people }) => ({ key: path, size: views, numbers: [people || null, views] })));
}

// The first of a list, then how many people are in none of its rows.
function people({ results, more, other, unknown }, nothing, name = (value) => value) {
  const rows = results.map(({ value, visitors }) => ({ key: value, text: name(value), size: visitors, numbers: [visitors] }));
  if (more) rows.push({ key: "\0more", text: `${more} more`, size: 0, numbers: [other], rest: true });
  if (unknown) rows.push({ key: "\0unknown", text: nothing, size: 0, numbers: [unknown], rest: true });
  return rows;
}

const judge = () => trust.show(shown.as_of, (performance.now() - shownAt) / 1000, connected);

function lost(reason) {
  connected = false;
  judge();
  noticeOf(reason);
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
find("all-pages").addEventListener("click", () => { allPages = !allPages; showPages(shown.pages); });
followSwitch();
show(first, null);
const address = new URL(`/ws/live/${encodeURIComponent(first.site)}`, location.href);
address.protocol = address.protocol.replace("http", "ws");
new Connection(address, (state, page) => { connected = true; show(state, page); judge(); }, lost);
setInterval(judge, 500);
