// The timeline of a task: posts by label over time, stacked. Plotly is fetched when the first one comes into view.

import { ALL_LABELS, GLYPHS } from "./words.js";

let loading = null;

function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.documentElement.dataset.plotly;
    script.async = true;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("the charts' script could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

// Plotly takes dates as they are written: the reader's own time.
function local(ms) {
  return new Date(ms - 60_000 * new Date(ms).getTimezoneOffset()).toISOString().slice(0, 19).replace("T", " ");
}

function layout(style, from, to, most) {
  const ink = style.getPropertyValue("--muted").trim();
  const line = style.getPropertyValue("--line").trim();
  const axis = { fixedrange: true, zeroline: false, linecolor: line, tickcolor: line, gridcolor: line };
  return {
    barmode: "stack",
    bargap: 0.12,
    showlegend: false,
    margin: { l: 38, r: 6, t: 6, b: 26 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: 11, color: ink },
    hovermode: "x unified",
    dragmode: false,
    hoverlabel: { bgcolor: style.getPropertyValue("--card").trim(), bordercolor: line, font: { color: ink } },
    xaxis: { ...axis, type: "date", range: [local(from), local(to)], showgrid: false, nticks: 6, hoverformat: "%-d %b %H:%M:%S" },
    yaxis: { ...axis, range: [0, Math.max(4, most * 1.06)], nticks: 5, tickformat: ",~d", automargin: true },
  };
}

export class Timeline {
  constructor(place) {
    this.place = place;
    this.width = 0;
    new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      if (this.visible) this.draw();
    }, { rootMargin: "200px" }).observe(place);
    new ResizeObserver(() => {
      if (this.drawn && place.clientWidth && place.clientWidth !== this.width) this.draw();
    }).observe(place);
  }

  set(series, size, from, to) {
    const most = Math.max(0, ...series.map(({ all }) => all.total));
    Object.assign(this, { series, size, from, to, most });
    if (this.visible) this.draw();
  }

  traces(style) {
    const step = 1000 * this.size;
    const x = this.series.map(({ start }) => local(start + step / 2));
    return ALL_LABELS.map((label) => ({
      type: "bar",
      name: `${GLYPHS[label]} ${label}`,
      x,
      y: this.series.map(({ all }) => all[label]),
      width: step * 0.86,
      marker: { color: style.getPropertyValue(`--${label}`).trim(), line: { width: 0 } },
      hovertemplate: "%{y}",
    }));
  }

  async draw() {
    if (!this.series || (!this.drawn && this.most === 0)) return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const Plotly = await plotly();
      const style = getComputedStyle(this.place);
      this.width = this.place.clientWidth;
      if (!this.width) return;
      if (!this.drawn) this.place.replaceChildren();
      const sized = { ...layout(style, this.from, this.to, this.most), width: this.width, height: this.place.clientHeight };
      await Plotly.react(this.place, this.traces(style), sized, { displayModeBar: false, responsive: false });
      this.drawn = true;
    } catch (error) {
      if (!this.drawn) this.place.replaceChildren(Object.assign(document.createElement("p"), { className: "empty", textContent: error.message }));
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        requestAnimationFrame(() => this.draw());
      }
    }
  }
}
