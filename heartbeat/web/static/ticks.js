// Where a time axis has its ticks, in the reader's zone. The axis itself is in milliseconds since the epoch, on which
// the hour that comes twice in autumn lies twice.

import { date, time } from "./words.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const QUARTER = 15 * MINUTE; // zones are multiples of it off UTC
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => 1000 * n), ...[1, 2, 5, 10, 15, 30].map((n) => MINUTE * n),
  ...[1, 2, 3, 6, 12].map((n) => HOUR * n), ...[1, 2, 4, 7, 14, 28, 91, 182, 364, 728].map((n) => DAY * n),
];

function within(from, to, step) {
  const found = [];
  if (step < QUARTER) {
    const off = -MINUTE * new Date(from).getTimezoneOffset();
    for (let at = Math.ceil((from + off) / step) * step - off; at <= to; at += step) found.push(at);
  } else if (step < DAY) {
    for (let at = Math.ceil(from / QUARTER) * QUARTER; at <= to; at += QUARTER) {
      const local = new Date(at);
      if ((local.getHours() * HOUR + local.getMinutes() * MINUTE) % step === 0) found.push(at);
    }
  } else {
    const local = new Date(from);
    for (local.setHours(0, 0, 0, 0); local <= to; local.setDate(local.getDate() + 1)) {
      const number = Date.UTC(local.getFullYear(), local.getMonth(), local.getDate()) / DAY;
      if (local >= from && number % (step / DAY) === 0) found.push(local.getTime());
    }
  }
  return found;
}

// At most so many ticks: their places and texts. The first, and each that begins another day, names its day (or year).
export function ticks(from, to, most) {
  const step = STEPS.find((each) => (to - from) / each <= most) ?? STEPS.at(-1);
  const values = within(from, to, step);
  let before = null;
  const texts = values.map((at) => {
    const text = step >= DAY ? date(at) : time(at, step < MINUTE);
    const more = step >= DAY ? String(new Date(at).getFullYear()) : date(at);
    const told = more === before ? text : `${text}<br>${more}`;
    before = more;
    return told;
  });
  return { values, texts };
}
