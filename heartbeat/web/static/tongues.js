// The languages of a task: a bar each, as long as it has posts, in the colours of their labels.

import { sum } from "./store.js";
import { ALL_LABELS, language, make, percent, setText } from "./words.js";

const SHOWN = 10;
const FEW = 4;

function bar() {
  const row = make("li", "language");
  const track = make("span", "track");
  const parts = make("span", "parts");
  for (const label of ALL_LABELS) parts.appendChild(make("span", "part")).dataset.label = label;
  track.append(parts);
  track.setAttribute("aria-hidden", "true");
  row.append(make("span", "name"), track, make("span", "share"));
  return row;
}

export function showLanguages(list, languages, total) {
  const shown = languages.slice(0, SHOWN).map(([code, figures]) => [language(code), code, figures]);
  const rest = languages.slice(SHOWN);
  if (rest.length) shown.push([`${rest.length} more`, "", sum(rest.map(([, figures]) => figures))]);
  const most = Math.max(languages[0]?.[1].total ?? 0, 1);
  // Once there are many, there is room for as many as there can be, so that nothing jumps when one comes or goes.
  if (shown.length > FEW) list.classList.add("many");
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach(([name, code, figures], at) => {
    const row = list.children[at] ?? list.appendChild(bar());
    const [title, track, number] = row.children;
    setText(title, name);
    if (title.title !== code) title.title = code;
    setText(number, percent(figures.total / (total || 1)));
    track.hidden = !code; // what stands for many has no bar
    track.style.width = code ? `${(100 * figures.total) / most}%` : "0";
    ALL_LABELS.forEach((label, part) => {
      track.firstChild.children[part].style.flexGrow = figures[label];
    });
  });
}
