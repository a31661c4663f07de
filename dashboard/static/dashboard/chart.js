// Views a minute as thirty bars; the last one is the minute that is going on.

const element = (name, className, text) => {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

export class Chart {
  constructor(container, time) {
    this.container = container;
    this.time = time;
    this.bars = new Map();
    this.top = element("span", "top note");
    this.plot = element("div", "plot");
    this.axis = element("div", "axis note");
    container.append(this.top, this.plot, this.axis);
  }

  show(minutes) {
    const most = niceTop(Math.max(...minutes.map(([, views]) => views), 0));
    this.top.textContent = most.toLocaleString("en");
    this.container.setAttribute("aria-label", describe(minutes, this.time));
    for (const [minute, bar] of this.bars) {
      if (!minutes.length || minute < minutes[0][0]) { bar.remove(); this.bars.delete(minute); }
    }
    minutes.forEach(([minute, views], n) => {
      const bar = this.bars.get(minute) ?? this.add(minute);
      bar.style.setProperty("--height", `${(100 * views) / most}%`);
      bar.classList.toggle("current", n === minutes.length - 1);
      bar.dataset.tip = `${this.time(minute * 60_000)} · ${views.toLocaleString("en")} ${views === 1 ? "view" : "views"}`;
    });
    this.label(minutes);
  }

  add(minute) {
    const bar = element("div", "minute");
    bar.append(element("i", ""));
    this.bars.set(minute, bar);
    this.plot.append(bar);
    return bar;
  }

  label(minutes) {
    if (!minutes.length || this.labelled === minutes[0][0]) return;
    this.labelled = minutes[0][0];
    const at = [0, 10, 20].map((n) => element("span", "", this.time(minutes[n][0] * 60_000)));
    this.axis.replaceChildren(...at, element("span", "", "now"));
  }
}

// The least round number that the highest bar fits under.
function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((top) => top >= Math.max(most, 4));
}

function describe(minutes, time) {
  if (!minutes.length) return "No numbers";
  const views = minutes.map(([, n]) => n);
  const [busiest, most] = minutes.reduce((a, b) => (b[1] > a[1] ? b : a));
  const sum = views.reduce((a, b) => a + b, 0);
  return `${sum} views in 30 minutes, at most ${most} a minute at ${time(busiest * 60_000)}; ${views.at(-1)} in the current minute`;
}
