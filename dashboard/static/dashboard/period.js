// One site in a period: what the server wrote, and writes anew from time to time.

import { Chart } from "./chart.js";
import { morph } from "./morph.js";
import { writeNames } from "./names.js";
import { noticeOf, noticeOfAge } from "./notice.js";
import { followSwitch } from "./switch.js";
import { followTabs, openChosen } from "./tabs.js";
import { Trust } from "./trust.js";

const EVERY_MS = 5_000;
const PATIENCE_MS = 30_000;
// A period that the server reads for long is asked for less often: at most a twentieth of its time.
const REST = 20;
const REASONS = { 401: "logged out", 403: "not allowed", 404: "no site" };
const root = document.getElementById("period");

class Refused extends Error {
  constructor(status) {
    super(`The server answered ${status}.`);
    this.reason = REASONS[status] ?? null;
  }
}

const content = (id) => JSON.parse(root.querySelector(id).textContent);
const styleOf = (page) => page.querySelector("link[rel=stylesheet]").getAttribute("href");
let trust = null;
let chart = null;

function draw() {
  trust.show(content("#as-of"), 0, true);
  const container = root.querySelector("#chart");
  if (!container) return;
  if (chart?.container !== container) chart = new Chart(container, container.dataset);
  container.dataset.drawn = "";
  const { points, current } = content("#chart-points");
  chart.show(points, current);
}

async function ask() {
  const response = await fetch(location.href, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.redirected) throw new Refused(401);
  if (!response.ok) throw new Refused(response.status);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

function renew(page) {
  if (styleOf(page) !== styleOf(document)) return noticeOfAge();
  const now = page.getElementById("period");
  writeNames(now);
  openChosen(now);
  morph(root, now);
  draw();
}

// The numbers stay, and are said to be no longer fresh.
function lose(error) {
  trust.show(content("#as-of"), 0, false);
  if (error instanceof Refused) noticeOf(error.reason);
}

let waiting = null;
let asking = false;

async function refresh() {
  clearTimeout(waiting);
  if (asking || document.hidden) return;
  asking = true;
  const start = performance.now();
  try {
    renew(await ask());
  } catch (error) {
    lose(error);
  }
  asking = false;
  waiting = setTimeout(refresh, Math.max(EVERY_MS, REST * (performance.now() - start)));
}

followSwitch();
if (root) {
  trust = new Trust(root.dataset.timeZone);
  writeNames(root);
  openChosen(root);
  followTabs(root);
  draw();
  document.addEventListener("visibilitychange", refresh);
  addEventListener("online", refresh);
  waiting = setTimeout(refresh, EVERY_MS);
}
