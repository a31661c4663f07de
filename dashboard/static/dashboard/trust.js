// What the numbers are worth: the dot, the words, and the reason behind them.

import { clock, duration, exact } from "./format.js";

const BEHIND_S = 5;
const find = (id) => document.getElementById(id);

export class Trust {
  constructor(timeZone) {
    this.time = clock(timeZone, true);
  }

  // `asOf` as in SPEC.md §9, `elapsed` seconds ago; `connected`: newer numbers would come.
  show(asOf, elapsed, connected) {
    const [kind, word, detail] = this.judge(asOf, elapsed, connected);
    const badge = find("trust");
    badge.hidden = false;
    badge.dataset.state = kind;
    for (const [id, text] of [["trust-word", word], ["trust-detail", detail]]) {
      if (find(id).textContent !== text) find(id).textContent = text;
    }
  }

  judge({ state, age_seconds: age, through, lag, rebuilt }, elapsed, connected) {
    if (!connected) return ["gone", through ? `disconnected, showing ${this.time(Date.parse(through))}` : "disconnected", "The page tries to connect again by itself."];
    if (state === "unavailable") return ["gone", "no live store", "The live store does not answer. Page views are still accepted and will be counted."];
    if (state === "rebuilding") return ["busy", `rebuilding ${Math.floor(100 * rebuilt)}%`, "The live store was emptied. Its numbers are counted again from the archive and the log. New page views are safe and will be counted too."];
    if (state === "unknown") return ["gone", "not counting yet", "No consumer has reported yet. Page views are accepted and will be counted when one runs."];
    const complete = `Everything that arrived until ${this.time(Date.parse(through))} is in these numbers.`;
    if (age + elapsed < BEHIND_S) return ["live", "live", complete];
    const waiting = lag === null ? "No consumer has reported for some seconds." : `${exact(lag)} events wait to be counted.`;
    return ["behind", `${duration(age + elapsed)} behind`, `${complete} ${waiting}`];
  }
}
