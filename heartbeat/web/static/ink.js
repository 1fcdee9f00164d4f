// What the pulse is drawn with: colours that stand for moods, and a smooth curve.

const SHADES = 40;
const FULL_MOOD = 0.3; // from here on the colour is as strong as it gets

let palette = null;

function parse(colour) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = colour;
  const hex = context.fillStyle;
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// Colours come from the style sheet, so that light and dark are decided in one place.
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => parse(style.getPropertyValue(name).trim());
  const [bad, even, good] = [colour("--negative"), colour("--neutral"), colour("--positive")];
  const mix = (one, two, share) => one.map((value, at) => Math.round(value + (two[at] - value) * share)).join(",");
  const shades = [];
  for (let at = 0; at <= 2 * SHADES; at += 1) {
    shades.push(at < SHADES ? mix(bad, even, at / SHADES) : mix(even, good, (at - SHADES) / SHADES));
  }
  palette = { shades, line: colour("--line").join(","), muted: colour("--muted").join(","), card: colour("--card").join(",") };
}

export function plain(name) {
  if (!palette) readPalette();
  return palette[name];
}

export function shade(mood) {
  if (!palette) readPalette();
  const strength = Math.max(-1, Math.min(1, (mood ?? 0) / FULL_MOOD));
  return palette.shades[Math.round((strength + 1) * SHADES)];
}

// A smooth curve through all points that never overshoots (monotone cubic, Fritsch and Carlson).
export function curve(points) {
  const path = new Path2D();
  const count = points.length;
  const slopes = [];
  const tangents = [];
  for (let at = 0; at < count - 1; at += 1) {
    const run = points[at + 1][0] - points[at][0] || 1e-6;
    slopes.push((points[at + 1][1] - points[at][1]) / run);
  }
  for (let at = 0; at < count; at += 1) {
    const [left, right] = [slopes[at - 1], slopes[at]];
    if (left === undefined || right === undefined) tangents.push(left ?? right ?? 0);
    else tangents.push(left * right <= 0 ? 0 : (2 * left * right) / (left + right));
  }
  path.moveTo(points[0][0], points[0][1]);
  for (let at = 0; at < count - 1; at += 1) {
    const [x0, y0] = points[at];
    const [x1, y1] = points[at + 1];
    const third = (x1 - x0) / 3;
    path.bezierCurveTo(x0 + third, y0 + tangents[at] * third, x1 - third, y1 - tangents[at + 1] * third, x1, y1);
  }
  return path;
}
