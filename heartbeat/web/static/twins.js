// Table twins: every chart's figures as a table, filled while it is open.

import { balance } from "./store.js";
import { ALL_LABELS, LABELS, dateTime, language, make, percent, setText, signed, utc } from "./words.js";

const times = (start) => ({ text: dateTime(start, true), title: utc(start) });

const UNKNOWN = "–";

export const TWINS = {
  pulse: ({ pulse }) => ({
    caption: `Posts and mood in windows of ${pulse.size} s`,
    head: ["window starts", "posts", "mood"],
    rows: pulse.series
      .map(({ start, all, unknown }) => [times(start), unknown ? UNKNOWN : all.total, signed(balance(all))])
      .reverse(),
  }),
  shares: ({ sum, words }) => ({
    caption: `Shares of scored posts, ${words}`,
    head: ["label", "posts", "share"],
    rows: [
      ...LABELS.map((label) => [label, sum[label], sum.scored ? percent(sum[label] / sum.scored) : "–"]),
      ["scored", sum.scored, ""],
      ["unscored", sum.unscored, ""],
    ],
  }),
  timeline: ({ range, words }) => ({
    caption: `Posts by label in windows of ${range.size} s, ${words}`,
    head: ["window starts", ...ALL_LABELS, "total"],
    rows: range.series
      .map(({ start, all, unknown }) => [
        times(start), ...[...ALL_LABELS, "total"].map((name) => (unknown ? UNKNOWN : all[name])),
      ])
      .reverse(),
  }),
  languages: ({ languages, words }) => ({
    caption: `Posts by language, ${words}`,
    head: ["language", "code", "posts", ...ALL_LABELS],
    rows: languages.map(([code, figures]) => [
      language(code), code, figures.total, ...ALL_LABELS.map((label) => figures[label]),
    ]),
  }),
};

export function fill(table, { caption, head, rows }) {
  if (!table.tHead) {
    table.createCaption();
    const row = table.createTHead().insertRow();
    for (const name of head) Object.assign(row.appendChild(make("th")), { scope: "col" }).textContent = name;
    table.createTBody();
  }
  setText(table.caption, caption);
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, at) => {
    const row = body.rows[at] ?? body.insertRow();
    cells.forEach((cell, column) => {
      if (!row.cells[column]) {
        const made = row.appendChild(make(column ? "td" : "th"));
        if (!column) made.scope = "row";
      }
      const text = typeof cell === "object" ? cell.text : String(cell);
      setText(row.cells[column], text);
      if (typeof cell === "object" && row.cells[column].title !== cell.title) row.cells[column].title = cell.title;
    });
  });
}
