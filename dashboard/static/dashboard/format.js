// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", minimumFractionDigits: 1, maximumFractionDigits: 1 });

const round = new Intl.NumberFormat("en", { notation: "compact" });

export const exact = (number) => (number === null ? "" : whole.format(number));

// 1,234 up to 9,999, then 12.3k.
export function compact(number) {
  if (number === null) return "—";
  return number < 10_000 ? whole.format(number) : short.format(number).replace("K", "k");
}

// A round number as shortly as can be: 800, 50k, 2M.
export const rounded = (number) => round.format(number).replace("K", "k");

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${Math.floor(seconds % 60)}s`;
  return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
}

export function clock(timeZone, withSeconds) {
  const options = { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (withSeconds) options.second = "2-digit";
  const format = new Intl.DateTimeFormat("en", options);
  return (milliseconds) => format.format(milliseconds);
}

// How much more or less than before, in percent.
export function change(now, before) {
  const more = Math.round((100 * (now - before)) / before);
  if (more >= 1_000) return `×${exact(Math.round(now / before))}`;
  return more === 0 ? "±0%" : `${more > 0 ? "+" : "−"}${Math.abs(more)}%`;
}
