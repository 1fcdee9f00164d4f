// Which windows a card shows at a moment: those of the pulse, and those of the time range for everything else.

const PULSE_WINDOWS = 60;
const MOST_BARS = 90;
const REPLAY_BARS = 180;
const REPLAY_POINTS = 500;
const REPLAY_MOST = 1440; // a replay of more of the largest windows than this shows its last ones
// While a task is younger than the range, the charts show no more than its life, in steps.
const FITS = [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 90, 120, 180, 240, 360, 480, 720, 1080, 1440]
  .map((minutes) => 60_000 * minutes);
const LEAST_REACH = 120_000;

// A replayed task lies where its posts lie.
function replayed({ first, last }, sizes) {
  if (first === null) return null;
  const length = Math.max(last - first, 1000 * sizes[0]);
  const view = (parts) => {
    const size = sizes.find((each) => length / (1000 * each) <= parts) ?? sizes.at(-1);
    const step = 1000 * size;
    const to = Math.ceil(last / step) * step;
    return { size, from: Math.max(Math.floor(first / step) * step, to - REPLAY_MOST * step), to, live: false };
  };
  return { pulse: view(REPLAY_POINTS), range: view(REPLAY_BARS) };
}

export function viewsOf(store, sizes, now, rangeMs) {
  if (!store.configured) return replayed(store, store.sizes?.length ? store.sizes : sizes);
  const [least, most] = [sizes[0], sizes.at(-1)];
  const reach = Math.max(600_000, 1000 * least * PULSE_WINDOWS);
  const begin = store.beginning(least);
  const age = begin === null ? Infinity : now - begin;
  const fitted = FITS.find((fit) => fit >= age && fit <= rangeMs) ?? rangeMs;
  const size = sizes.find((each) => fitted / (1000 * each) <= MOST_BARS) ?? most;
  const to = Math.ceil((now + 1) / (1000 * size)) * 1000 * size;
  return {
    pulse: { size: least, from: now - Math.min(reach, Math.max(age, LEAST_REACH)), to: now, live: true, begin },
    range: { size, from: to - Math.max(fitted, 1000 * size), to, live: true, since: age < rangeMs ? begin : null },
  };
}
