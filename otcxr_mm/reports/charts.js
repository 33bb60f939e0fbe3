// Draws the charts of a report with Vega-Lite, and lets the fields above them set the range of iterations.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const CTRL = "event.ctrlKey || event.metaKey";

function spec(chart) {
  const values = chart.lines.flatMap((line) =>
    line.x.map((iteration, i) => ({ iteration, value: line.y[i], run: data.runs[line.run] })));
  // without a format, Vega-Lite does not find the field of the nearest point
  const tooltip = [
    ...(data.runs.length > 1 ? [{ field: "run", type: "ordinal", format: "" }] : []),
    { field: "iteration", format: "d" },
    { field: "value", title: chart.name, format: ".5~g" },
  ];
  return {
    width: "container", height: 190, background: null, autosize: { type: "fit", contains: "padding" },
    description: chart.description,
    data: { values },
    encoding: {
      x: { field: "iteration", type: "quantitative", scale: { zero: false, nice: false }, axis: { tickCount: 5, tickMinStep: 1 } },
      y: { field: "value", type: "quantitative", scale: { zero: false }, title: null, axis: { tickCount: 5, format: ".4~g" } },
      color: {
        field: "run", type: "nominal", legend: null,
        scale: { domain: data.runs, range: data.runs.map((_, i) => `var(--run${i % data.colours})`) },
      },
    },
    layer: [
      {
        mark: { type: "line", clip: true, strokeWidth: 1.8, invalid: "break-paths-show-domains" },
        params: [{
          name: "zoom", bind: "scales",
          select: { type: "interval", encodings: ["x"], zoom: `wheel![${CTRL}]` },
        }],
        encoding: {
          strokeDash: {
            field: "run", type: "nominal", legend: null, scale: { domain: data.runs, range: data.dashes },
          },
        },
      },
      {
        mark: { type: "point", clip: true, filled: true, size: 55 },
        params: [{
          name: "hover", select: { type: "point", nearest: true, on: "pointerover", clear: "pointerout" },
        }],
        encoding: { opacity: { condition: { param: "hover", empty: false, value: 1 }, value: 0 }, tooltip },
      },
    ],
    config: {
      aria: true, font: "system-ui, sans-serif", view: { stroke: null },
      axis: {
        labelColor: "currentColor", titleColor: "currentColor", titleFontWeight: "normal", labelFontSize: 11,
        gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)",
      },
      mark: { aria: false },
    },
  };
}

const views = [];
async function draw(place, chart) {
  const { view } = await vegaEmbed(place, spec(chart), { mode: "vega-lite", renderer: "svg", actions: false, ast: true });
  views.push(view);
}

// One after the other, those on the screen first: a page of many charts stays responsive.
async function drawAll() {
  for (const place of document.querySelectorAll("[data-chart]")) await draw(place, data.charts[place.dataset.chart]);
  document.body.dataset.drawn = views.length;
}

const form = document.getElementById("range");
if (form) {
  const fields = ["from", "to"].map((name) => form.elements[name]);
  const zoom = () => {
    const range = fields.map((field) => Number(field.value));
    if (range[0] < range[1]) for (const view of views) view.signal("zoom_iteration", range).run();
  };
  for (const field of fields) field.addEventListener("change", zoom);
  form.addEventListener("submit", (event) => { event.preventDefault(); zoom(); });
  form.addEventListener("reset", () => { for (const view of views) view.signal("zoom_iteration", null).run(); });
  drawAll();
}
