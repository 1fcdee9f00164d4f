// How every part is: a table at the foot of the page.

import { dateTime, make, setText, utc } from "./words.js";

const GLYPHS = { ok: "●", waiting: "◐", failed: "✕" };

export class Health {
  constructor() {
    this.place = document.getElementById("health");
    this.place.addEventListener("toggle", () => this._show());
  }

  took(health) {
    Object.assign(this, { parts: health.parts, lag: health.lag });
    const bad = health.parts.filter(({ state }) => state !== "ok").length;
    setText(this.place.querySelector(".sum"), bad ? `${bad} of ${health.parts.length} parts held up` : `all ${health.parts.length} parts are well`);
    this._show();
  }

  _show() {
    if (!this.place.open || !this.parts) return;
    const rows = this.parts.map(({ part, state, since, why, remedy }) => {
      const row = make("tr");
      row.dataset.state = state;
      const name = make("th", "", part);
      name.scope = "row";
      const glyph = make("span", "glyph", GLYPHS[state] ?? "?");
      glyph.setAttribute("aria-hidden", "true");
      const how = make("td");
      how.append(glyph, ` ${state}`);
      const when = make("td", "", dateTime(Date.parse(since), true));
      when.title = utc(Date.parse(since));
      const behind = this.lag[part.replace(/^agent\//, "")];
      row.append(name, how, when, make("td", "", why || (behind ? `${behind} unread` : "")), make("td", "", remedy));
      row.setAttribute("role", "row"); // said, since on a narrow page they are not laid out as a table
      for (const cell of row.children) cell.setAttribute("role", cell === name ? "rowheader" : "cell");
      return row;
    });
    this.place.querySelector("tbody").replaceChildren(...rows);
  }
}
